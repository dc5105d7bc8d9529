//! Questions and answers over the loopback interface.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::admin;
use crate::tasks::Tasks;

/// Gives the same answer to everything, and keeps the questions.
struct Always {
    answer: Result<(), Refusal>,
    asked: Mutex<Vec<Question>>,
}

impl Authorize for Always {
    fn authorize(&self, question: Question) -> Answer<'_> {
        self.asked.lock().unwrap().push(question);
        Box::pin(async { self.answer.clone() })
    }
}

fn always(answer: Result<(), Refusal>) -> Arc<Always> {
    Arc::new(Always {
        answer,
        asked: Mutex::default(),
    })
}

async fn ask(authorize: Option<Arc<dyn Authorize>>, request: &str) -> String {
    let pages = vec![Page::new(PATH).unwrap(), Page::new(NODE_PATH).unwrap()];
    let router = router(pages, authorize).unwrap();
    let listener = admin::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let mut tasks = Tasks::new();
    let shutdown = tasks.shutdown();
    tasks.spawn("serve", admin::serve(listener, router, shutdown));
    let mut answer = String::new();
    for _ in 0..2 {
        let request = request.replace("HTTP/1.1", "HTTP/1.1\r\nhost: localhost");
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    let last = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(last.as_bytes()).await.unwrap();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn refusals_have_the_codes_and_texts_of_the_contract() {
    let user = || "system:serviceaccount:a:b".to_owned();
    for (refusal, code, text) in [
        (Refusal::Unauthenticated, "401 Unauthorized", "Unauthorized"),
        (
            Refusal::AuthenticationFailed,
            "500 Internal Server Error",
            "Authentication failed",
        ),
        (
            Refusal::Denied { user: user() },
            "403 Forbidden",
            "Authorization denied for user system:serviceaccount:a:b",
        ),
        (
            Refusal::AuthorizationFailed { user: user() },
            "500 Internal Server Error",
            "Authorization for user system:serviceaccount:a:b failed",
        ),
    ] {
        let request = "GET /metrics HTTP/1.1\r\n\r\n";
        let answer = ask(Some(always(Err(refusal))), request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code}\r\n")),
            "{answer}"
        );
        assert!(
            answer.contains(&format!("\r\n\r\n{text}HTTP/1.1 ")),
            "{answer}"
        );
        assert!(!answer.contains("process_"), "{answer}");
    }
}

#[tokio::test]
async fn the_right_to_a_path_and_a_method_is_asked_for() {
    let authorize = always(Ok(()));
    let request = "GET /metrics-spod?a=b HTTP/1.1\r\nauthorization: bEARER  a.b-c \r\n\r\n";
    let answer = ask(Some(Arc::clone(&authorize) as _), request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4"),
        "{answer}"
    );
    let counted = "security_profiles_operator_metrics_requests_total{code=\"200\"} 1\n";
    assert!(
        answer.contains(counted),
        "the second counts the first: {answer}"
    );
    let asked = authorize.asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    let [Question { token, path, verb }, _] = asked.as_slice() else {
        panic!("two questions");
    };
    let all = (token.as_deref(), path.as_str(), verb.as_str());
    assert_eq!(all, (Some("a.b-c"), "/metrics-spod", "get"));
}

#[tokio::test]
async fn without_somebody_to_ask_everybody_reads() {
    let answer = ask(None, "GET /metrics HTTP/1.1\r\n\r\n").await;
    assert!(answer.contains("process_start_time_seconds "), "{answer}");
    assert!(!answer.contains("metrics_requests_total"), "{answer}");
}

#[test]
fn only_one_bearer_token_counts() {
    let token = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&headers)
    };
    assert_eq!(token(&["Bearer abc"]).as_deref(), Some("abc"));
    for values in [
        &[][..],
        &["Bearer"],
        &["Bearer "],
        &["abc"],
        &["Basic YTpi"],
        &["Bearer a b"],
        &["Bearer a", "Bearer b"],
    ] {
        assert_eq!(token(values), None, "{values:?}");
    }
}
