//! A way to the API server that can be cut, blocked or slow.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Every piece that comes through comes later.
    Slow(Duration),
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

    /// Delays every piece that comes through, on each connection by itself.
    pub fn slow(&self, delay: Duration) {
        self.way.send_replace(Way::Slow(delay));
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

async fn pass_on(from: TcpStream, to: u16, mut way: watch::Receiver<Way>) {
    let Ok(to) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else {
        return;
    };
    let (mut from_read, mut from_write) = from.into_split();
    let (mut to_read, mut to_write) = to.into_split();
    tokio::select! {
        // However it ends, both sides see that it has.
        _ended = copy(&mut from_read, &mut to_write, &way) => return,
        _ended = copy(&mut to_read, &mut from_write, &way) => return,
        _closed = closed(way.clone()) => {}
    }
    // Bytes may have been lost between the two: it can only end.
    let _changed = way.wait_for(|way| *way != Way::Blocked).await;
}

async fn closed(mut way: watch::Receiver<Way>) {
    let _changed = way
        .wait_for(|way| matches!(way, Way::Cut | Way::Blocked))
        .await;
}

async fn copy(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    way: &watch::Receiver<Way>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        let delay = match *way.borrow() {
            Way::Slow(delay) => delay,
            Way::Open | Way::Cut | Way::Blocked => Duration::ZERO,
        };
        tokio::time::sleep(delay).await;
        match buffer.get(..count) {
            Some(piece) if count > 0 => to.write_all(piece).await?,
            _ => return Ok(()),
        }
    }
}
