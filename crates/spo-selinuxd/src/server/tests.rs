//! The server, asked byte by byte and by our own client.

#![expect(
    clippy::disallowed_methods,
    reason = "the servers of the tests end with the test"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;

use spo_process::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::*;
use crate::client::{self, Client};
use crate::status::PolicyStatus;
use crate::view::View;

fn own_ids() -> (u32, u32) {
    let metadata = std::fs::metadata("/proc/self").unwrap();
    (metadata.uid(), metadata.gid())
}

async fn serving(view: View) -> (tempfile::TempDir, PathBuf, watch::Sender<View>, Tasks) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let (uid, gid) = own_ids();
    let listener = listen(&socket, uid, gid).await.unwrap();
    let (sender, current) = watch::channel(view);
    let tasks = Tasks::new();
    tokio::spawn(serve(listener, current, tasks.shutdown()));
    (dir, socket, sender, tasks)
}

fn view() -> View {
    let message = "line 3: \"x\"".to_owned();
    View {
        ready: true,
        policies: BTreeMap::from([
            ("b".to_owned(), PolicyStatus::Installed),
            ("a".to_owned(), PolicyStatus::Failed { message }),
        ]),
    }
}

#[tokio::test]
async fn the_bodies_are_upstream_s() {
    let (_dir, socket, sender, _tasks) = serving(view()).await;
    let list = "[\"a\",\"b\"]\n";
    let cases = [
        ("/ready", 200, "{\"ready\":true}\n"),
        ("/ready/", 200, "{\"ready\":true}\n"),
        ("/policies/", 200, list),
        ("/policies", 200, list),
        (
            "/policies/b",
            200,
            "{\"status\":\"Installed\",\"msg\":\"\"}\n",
        ),
        (
            "/policies/a",
            200,
            "{\"status\":\"Failed\",\"msg\":\"line 3: \\\"x\\\"\"}\n",
        ),
        ("/policies/c", 404, "couldn't find requested policy\n"),
        ("/policies/b/", 404, "couldn't find requested policy\n"),
        ("/", 400, "Invalid path\n"),
        ("/other", 400, "Invalid path\n"),
    ];
    for (path, status, body) in cases {
        assert_eq!(
            ask(&socket, path).await,
            (status, body.to_owned()),
            "{path}"
        );
    }
    sender.send_replace(View::default());
    assert_eq!(ask(&socket, "/policies/").await, (200, "null\n".to_owned()));
    let ready = "{\"ready\":false}\n".to_owned();
    assert_eq!(ask(&socket, "/ready").await, (200, ready));
}

async fn ask(socket: &Path, path: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer[9..12].parse().unwrap();
    let (_head, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

#[tokio::test]
async fn our_client_understands_our_server() {
    let (_dir, socket, _sender, _tasks) = serving(view()).await;
    let client = Client::new(socket);
    assert!(client.ready().await.unwrap());
    assert_eq!(client.policies().await.unwrap(), ["a", "b"]);
    assert_eq!(
        client.policy("b").await.unwrap(),
        Some(PolicyStatus::Installed)
    );
    assert_eq!(
        client.policy("a").await.unwrap(),
        view().policies.get("a").cloned()
    );
    assert_eq!(client.policy("c").await.unwrap(), None);
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_group_and_replaces_a_stale_one() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let (uid, gid) = own_ids();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let client = Client::new(socket.clone());
    let error = client.ready().await.unwrap_err();
    assert!(matches!(error, client::Error::Refused { .. }), "{error}");

    let _listener = listen(&socket, uid, gid).await.unwrap();
    let metadata = std::fs::metadata(&socket).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o660);
    assert_eq!((metadata.uid(), metadata.gid()), (uid, gid));
    let error = listen(&socket, uid, gid).await.unwrap_err();
    assert!(matches!(error, Error::Taken(_)), "{error}");

    let file = dir.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let error = listen(&file, uid, gid).await.unwrap_err();
    assert!(matches!(error, Error::NotASocket(_)), "{error}");
}
