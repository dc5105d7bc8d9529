//! The client against sockets which answer well, badly, late, or not at all.

#![expect(
    clippy::disallowed_methods,
    reason = "the servers of the tests end with the test"
)]

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::*;

/// A socket which answers every request with these bytes; the task gives the request's first line.
fn answering(bytes: Vec<u8>) -> (TempDir, Client, JoinHandle<String>) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        // The client may have heard enough before everything is written.
        stream.write_all(&bytes).await.ok();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        request.lines().next().unwrap_or_default().to_owned()
    });
    (dir, Client::new(socket), server)
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

#[tokio::test]
async fn readiness_is_asked_for() {
    for (body, expected) in [("{\"ready\":true}\n", true), ("{\"ready\":false}\n", false)] {
        let (_dir, client, server) = answering(http("200 OK", body));
        assert_eq!(client.ready().await.unwrap(), expected);
        assert_eq!(server.await.unwrap(), "GET /ready HTTP/1.1");
    }
}

#[tokio::test]
async fn a_policy_is_asked_for() {
    let body = "{\"status\":\"Failed\",\"msg\":\"no\"}\n";
    let (_dir, client, server) = answering(http("200 OK", body));
    let message = "no".to_owned();
    let failed = Some(PolicyStatus::Failed { message });
    assert_eq!(client.policy("a_b").await.unwrap(), failed);
    assert_eq!(server.await.unwrap(), "GET /policies/a_b HTTP/1.1");

    let body = "couldn't find requested policy\n";
    let (_dir, client, _server) = answering(http("404 Not Found", body));
    assert_eq!(client.policy("a").await.unwrap(), None);

    let (_dir, client, _server) = answering(http("500 Oops", "Cannot get status\n"));
    let error = client.policy("a").await.unwrap_err();
    assert!(
        matches!(&error, Error::Status { status: 500, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("Cannot get status"), "{error}");

    let error = client.policy("../ready").await.unwrap_err();
    assert!(matches!(error, Error::Name(_)), "{error}");
}

#[tokio::test]
async fn the_list_of_policies_may_be_null() {
    let (_dir, client, _server) = answering(http("200 OK", "null\n"));
    assert!(client.policies().await.unwrap().is_empty());
    let (_dir, client, server) = answering(http("200 OK", "[\"b\",\"a\"]\n"));
    assert_eq!(client.policies().await.unwrap(), ["a", "b"]);
    assert_eq!(server.await.unwrap(), "GET /policies/ HTTP/1.1");
}

#[tokio::test]
async fn nobody_and_nothing_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let client = Client::new(socket.clone());
    let error = client.ready().await.unwrap_err();
    assert!(matches!(error, Error::Absent { .. }), "{error}");

    drop(UnixListener::bind(&socket).unwrap());
    let error = client.ready().await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

/// The time is the runtime's: it jumps to the limit.
#[tokio::test(start_paused = true)]
async fn one_who_does_not_answer_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let _listener = UnixListener::bind(&socket).unwrap();
    let error = Client::new(socket).ready().await.unwrap_err();
    assert!(
        matches!(error, Error::TimedOut { seconds: 5, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn bad_answers_are_errors() {
    let long = format!("[\"{}\"]", "a".repeat(BODY_LIMIT));
    let cases = [
        (b"no HTTP at all\r\n\r\n".to_vec(), "Broken"),
        (Vec::new(), "Broken"),
        (http("200 OK", "[\"a\"")[..40].to_vec(), "Body"),
        (http("200 OK", "{}"), "Answer"),
        (http("200 OK", &long), "Body"),
        (http("404 Not Found", "x"), "Status"),
    ];
    for (bytes, expected) in cases {
        let (_dir, client, _server) = answering(bytes);
        let error = client.policies().await.unwrap_err();
        assert!(
            format!("{error:?}").starts_with(expected),
            "{expected}: {error:?}"
        );
    }
}

#[tokio::test]
async fn one_answer_after_which_the_connection_closes_is_heard() {
    let bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"ready\":true}\n".to_vec();
    let (_dir, client, _server) = answering(bytes);
    assert!(client.ready().await.unwrap());
}
