//! A way to the API server that can be cut.

use std::net::Ipv4Addr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// They end, and there are no more.
    Cut,
    /// They stay, and nothing comes through.
    Blocked,
}

/// Passes connections on, until it is told not to.
pub struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
    _listening: JoinSet<()>,
}

impl Proxy {
    /// Listens on a port of its own, for what listens on `to`.
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = watch::Sender::new(Way::Open);
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, to, way.subscribe()));
        Self {
            port,
            way,
            _listening: listening,
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends every connection and takes no more.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Lets nothing through, as a network that loses every packet.
    pub fn block(&self) {
        self.way.send_replace(Way::Blocked);
    }

    /// Takes connections again. What was blocked ends.
    pub fn mend(&self) {
        self.way.send_replace(Way::Open);
    }
}

async fn listen(listener: TcpListener, to: u16, way: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        if *way.borrow() != Way::Cut {
            connections.spawn(pass_on(stream, to, way.clone()));
        }
    }
}

async fn pass_on(mut from: TcpStream, to: u16, mut way: watch::Receiver<Way>) {
    let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else {
        return;
    };
    tokio::select! {
        // However it ends, both sides see that it has.
        _ended = copy_bidirectional(&mut from, &mut to) => return,
        _closed = way.wait_for(|way| *way != Way::Open) => {}
    }
    // Bytes may have been lost between the two: it can only end.
    let _changed = way.wait_for(|way| *way != Way::Blocked).await;
}
