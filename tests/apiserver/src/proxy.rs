//! A way to the API server that can be cut.

use std::net::Ipv4Addr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes connections on, until it is told not to.
pub struct Proxy {
    port: u16,
    cut: watch::Sender<bool>,
    _listening: JoinSet<()>,
}

impl Proxy {
    /// Listens on a port of its own, for what listens on `to`.
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = watch::Sender::new(false);
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, to, cut.subscribe()));
        Self {
            port,
            cut,
            _listening: listening,
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends every connection and takes no more.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.cut.send_replace(false);
    }
}

async fn listen(listener: TcpListener, to: u16, cut: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        if !*cut.borrow() {
            connections.spawn(pass_on(stream, to, cut.clone()));
        }
    }
}

async fn pass_on(mut from: TcpStream, to: u16, mut cut: watch::Receiver<bool>) {
    let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else {
        return;
    };
    tokio::select! {
        // However it ends, both sides see that it has.
        _ended = copy_bidirectional(&mut from, &mut to) => {}
        _cut = cut.wait_for(|cut| *cut) => {}
    }
}
