//! A server and clients over the loopback interface.

use std::net::SocketAddr;

use axum::routing::get;
use rcgen::{CertifiedKey as Made, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::tasks::{Ended, Tasks};

fn made() -> (Made<KeyPair>, Arc<Identity>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(pem.0.as_bytes(), pem.1.as_bytes()).unwrap();
    (made, Arc::new(identity))
}

type Sender = watch::Sender<Option<Arc<Identity>>>;

/// A server in a process of its own tasks.
async fn served(min_version: MinVersion) -> (SocketAddr, Sender, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, identity) = watch::channel(None);
    let router = Router::new().route("/", get(|| async { "hello" }));
    let mut tasks = Tasks::new();
    let shutdown = tasks.shutdown();
    tasks.spawn(
        "serve",
        serve(
            listener,
            router,
            identity,
            min_version,
            Bounds::METRICS,
            shutdown,
        ),
    );
    (address, sender, tasks)
}

async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().into())
        .collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    timeout(Duration::from_secs(20), connector.connect(name, stream)).await?
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let read = timeout(Duration::from_secs(20), stream.read_buf(&mut answer));
        assert_ne!(read.await.unwrap().unwrap(), 0, "{answer:?}");
    }
    String::from_utf8(answer).unwrap()
}

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const OLD: &[&SupportedProtocolVersion] = &[&TLS12];

#[tokio::test]
async fn the_identity_of_the_moment_is_shown() {
    let (address, sender, _tasks) = served(MinVersion::Tls12).await;
    let ((first, first_identity), (second, second_identity)) = (made(), made());
    let (first, second) = (&first.cert.der().clone(), &second.cert.der().clone());
    assert!(connect(address, first, BOTH, &[]).await.is_err());

    sender.send_replace(Some(first_identity));
    let mut old = connect(address, first, BOTH, &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(old.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(ask(&mut old).await.starts_with("HTTP/1.1 200 OK"));
    assert!(connect(address, second, BOTH, &[]).await.is_err());

    sender.send_replace(Some(second_identity));
    let mut new = connect(address, second, BOTH, &[]).await.unwrap();
    assert!(ask(&mut new).await.starts_with("HTTP/1.1 200 OK"));
    assert!(connect(address, first, BOTH, &[]).await.is_err());
    // A connection outlives the certificate it began with.
    assert!(ask(&mut old).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn the_oldest_version_is_kept() {
    let (trusted, identity) = made();
    let trusted = &trusted.cert.der().clone();
    let check = async |min_version, versions, expected: Option<ProtocolVersion>| {
        let (address, sender, _tasks) = served(min_version).await;
        sender.send_replace(Some(Arc::clone(&identity)));
        let connected = connect(address, trusted, versions, &[]).await.ok();
        let spoken = connected.and_then(|stream| stream.get_ref().1.protocol_version());
        assert_eq!(spoken, expected);
    };
    use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};
    check(MinVersion::Tls12, OLD, Some(TLSv1_2)).await;
    check(MinVersion::Tls12, BOTH, Some(TLSv1_3)).await;
    check(MinVersion::Tls13, BOTH, Some(TLSv1_3)).await;
    check(MinVersion::Tls13, OLD, None).await;
}

#[tokio::test]
async fn other_protocols_are_refused() {
    let (address, sender, _tasks) = served(MinVersion::Tls12).await;
    let (trusted, identity) = made();
    sender.send_replace(Some(identity));
    let connected = connect(address, trusted.cert.der(), BOTH, &["h2"]).await;
    assert!(connected.is_err());
}

#[tokio::test]
async fn shutdown_closes_idle_connections() {
    let (address, sender, mut tasks) = served(MinVersion::Tls12).await;
    let (trusted, identity) = made();
    sender.send_replace(Some(identity));
    let mut stream = connect(address, trusted.cert.der(), BOTH, &[])
        .await
        .unwrap();
    ask(&mut stream).await;
    tasks.spawn("ends", async {});
    let run = timeout(Duration::from_secs(10), tasks.run());
    assert_eq!(
        run.await.expect("an idle client does not hold us"),
        Ended::TaskFell
    );
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or_default(), 0);
}

/// The time is the runtime's, and jumps.
#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (address, sender, _tasks) = served(MinVersion::Tls12).await;
    let (trusted, identity) = made();
    sender.send_replace(Some(identity));
    let mut stream = connect(address, trusted.cert.der(), BOTH, &[])
        .await
        .unwrap();
    ask(&mut stream).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    tokio::time::pause();
    let wait = tokio::time::Instant::now();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or_default(), 0);
    assert!(wait.elapsed() <= HANDSHAKE + Duration::from_secs(1));
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or_default(), 0);
    assert!(wait.elapsed() <= HEAD + Duration::from_secs(1));
}
