//! Reviews by an API server that is played.

use std::collections::VecDeque;
use std::sync::Mutex;

use kube::core::Status;
use tokio::time::{Instant, advance};

use super::*;

/// Knows one token, and plays what it is told to first.
#[derive(Default)]
struct Server {
    failures: Mutex<VecDeque<u16>>,
    deny: std::sync::atomic::AtomicBool,
    hangs: bool,
    log: Mutex<Vec<String>>,
}

impl Server {
    async fn answer(&self, question: String) -> kube::Result<()> {
        self.log.lock().unwrap().push(question);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        sleep(Duration::from_millis(10)).await;
        let failure = self.failures.lock().unwrap().pop_front();
        failure.map_or(Ok(()), |code| {
            let status = Status::failure("played", "Played").with_code(code);
            Err(kube::Error::Api(Box::new(status)))
        })
    }
}

impl Ask for Arc<Server> {
    async fn whose(&self, token: &str) -> kube::Result<TokenReviewStatus> {
        self.answer(format!("whose {token}")).await?;
        let user = |name: &str| UserInfo {
            username: Some(name.to_owned()),
            groups: Some(vec!["g".to_owned()]),
            ..UserInfo::default()
        };
        Ok(TokenReviewStatus {
            authenticated: Some(token != "bad"),
            user: Some(user(if token == "anonymous" {
                "system:anonymous"
            } else {
                token
            })),
            ..TokenReviewStatus::default()
        })
    }

    async fn allowed(&self, spec: &SubjectAccessReviewSpec) -> kube::Result<bool> {
        let what = spec.non_resource_attributes.clone().unwrap();
        let (path, verb) = (what.path.unwrap(), what.verb.unwrap());
        let (user, groups) = (spec.user.clone().unwrap(), spec.groups.clone().unwrap());
        self.answer(format!("may {user} {groups:?} {verb} {path}"))
            .await?;
        Ok(!self.deny.load(std::sync::atomic::Ordering::Relaxed))
    }
}

fn question(token: &str, path: &str) -> Question {
    Question {
        token: Some(token.to_owned()),
        path: path.to_owned(),
        verb: "get".to_owned(),
    }
}

fn reviews(server: Server) -> (Arc<Server>, Reviews<Arc<Server>>) {
    let server = Arc::new(server);
    (Arc::clone(&server), Reviews::new(server))
}

fn take(server: &Server) -> Vec<String> {
    std::mem::take(&mut server.log.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn answers_are_kept_as_long_as_the_contract_says() {
    let (server, reviews) = reviews(Server::default());
    let ask = async |path: &str| reviews.review(question("a", path)).await;
    assert_eq!(ask("/metrics").await, Ok(()));
    assert_eq!(take(&server), ["whose a", "may a [\"g\"] get /metrics"]);
    assert_eq!(ask("/metrics").await, Ok(()));
    assert_eq!(take(&server), [""; 0]);
    assert_eq!(ask("/metrics-spod").await, Ok(()));
    assert_eq!(take(&server), ["may a [\"g\"] get /metrics-spod"]);
    advance(TOKEN).await;
    assert_eq!(ask("/metrics").await, Ok(()));
    assert_eq!(take(&server), ["whose a"]);
    advance(ALLOWED).await;
    server
        .deny
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let denied = Err(Refusal::Denied {
        user: "a".to_owned(),
    });
    assert_eq!(ask("/metrics").await, denied);
    assert_eq!(take(&server).len(), 2);
    advance(DENIED - Duration::from_secs(1)).await;
    assert_eq!(ask("/metrics").await, denied);
    assert_eq!(take(&server), [""; 0]);
    server
        .deny
        .store(false, std::sync::atomic::Ordering::Relaxed);
    advance(Duration::from_secs(1)).await;
    assert_eq!(ask("/metrics").await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn one_review_per_token_is_under_way() {
    let (server, reviews) = reviews(Server::default());
    let ask = || reviews.review(question("a", "/metrics"));
    let all = futures::future::join_all((0..50).map(|_| ask())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(take(&server).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_nobody_is_refused() {
    let (server, reviews) = reviews(Server::default());
    let ask = async |token: &str| reviews.review(question(token, "/metrics")).await;
    for _ in 0..2 {
        for token in ["bad", "anonymous"] {
            assert_eq!(ask(token).await, Err(Refusal::Unauthenticated), "{token}");
        }
    }
    assert_eq!(take(&server), ["whose bad", "whose anonymous"]);
    let mut nothing = question("", "/metrics");
    nothing.token = None;
    let refused = reviews.review(nothing).await;
    assert_eq!(refused, Err(Refusal::Unauthenticated));
    let long = "x".repeat(LONGEST + 1);
    assert_eq!(ask(&long).await, Err(Refusal::Unauthenticated));
    assert_eq!(take(&server), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_is_waited_for() {
    let (server, reviews) = reviews(Server {
        failures: Mutex::new([503, 429, 500, 503].into()),
        ..Server::default()
    });
    let before = Instant::now();
    assert_eq!(reviews.review(question("a", "/metrics")).await, Ok(()));
    assert_eq!(take(&server).len(), 6);
    let pauses = 500.0 * (1.0 + 1.5 + 2.25 + 3.375) / 1000.0;
    let took = before.elapsed().as_secs_f64();
    assert!((pauses..pauses * 1.2 + 0.2).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn one_that_stays_is_told_and_not_kept() {
    let forbidden = || Mutex::new([403].into());
    let (server, first) = reviews(Server {
        failures: forbidden(),
        ..Server::default()
    });
    let refused = first.review(question("a", "/metrics")).await;
    assert_eq!(refused, Err(Refusal::AuthenticationFailed));
    assert_eq!(take(&server).len(), 1, "the answer would be the same");
    assert_eq!(first.review(question("a", "/metrics")).await, Ok(()));

    *server.failures.lock().unwrap() = [403].into();
    let refused = first.review(question("a", "/metrics-spod")).await;
    let user = "a".to_owned();
    assert_eq!(refused, Err(Refusal::AuthorizationFailed { user }));

    let (server, second) = reviews(Server {
        failures: Mutex::new([503; 5].into()),
        ..Server::default()
    });
    let refused = second.review(question("a", "/metrics")).await;
    assert_eq!(refused, Err(Refusal::AuthenticationFailed));
    assert_eq!(take(&server).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_hangs_holds_nobody_for_long() {
    let (server, reviews) = reviews(Server {
        hangs: true,
        ..Server::default()
    });
    let before = Instant::now();
    let tokens: Vec<String> = (0..600).map(|number| number.to_string()).collect();
    let all = tokens
        .iter()
        .map(|token| reviews.review(question(token, "/metrics")));
    let (answers, asked) = tokio::join!(futures::future::join_all(all), async {
        sleep(DEADLINE / 2).await;
        take(&server).len()
    });
    assert_eq!(asked, AT_ONCE);
    for answer in answers {
        assert_eq!(answer, Err(Refusal::AuthenticationFailed));
    }
    assert!(before.elapsed() <= DEADLINE + Duration::from_secs(1));
}
