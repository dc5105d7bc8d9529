//! Who may read what of ours: the API server says whose token it is, and what they have a right to.
//!
//! Answers are kept for a while (contract 02, 10.1). Of a token only a digest is kept. Whoever can
//! reach the port can send tokens, so everything has a bound: how many answers are kept, how many
//! questions are asked at once and how long one may take.

mod cache;

use std::fmt::Debug;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{
    TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo,
};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use spo_process::chain::chain;
use spo_process::metrics::{Answer, Authorize, Question, Refusal};
use spo_process::news::News;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use cache::{Cache, Held};

/// How long it is remembered whose token it is, or that it is nobody's.
const TOKEN: Duration = Duration::from_secs(60);
/// How long somebody keeps a right.
const ALLOWED: Duration = Duration::from_secs(5 * 60);
/// How long somebody waits for a right that was given meanwhile.
const DENIED: Duration = Duration::from_secs(30);
/// How long an answer of the API server is waited for, all attempts together.
const DEADLINE: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 5;
/// Pause after the first attempt; each further one is half as long again.
const PAUSE: Duration = Duration::from_millis(500);
/// Questions to the API server at once.
const AT_ONCE: usize = 8;
/// Answers that are kept, of each kind.
const KEPT: usize = 256;
/// Bytes of a token. Those of accounts have one to two thousand.
const LONGEST: usize = 16 << 10;

/// Asks the API server, which takes the permission to create TokenReviews and SubjectAccessReviews.
pub struct Reviewer(Reviews<Client>);

impl Reviewer {
    /// Asks the API server of `client`.
    pub fn new(client: Client) -> Self {
        Self(Reviews::new(client))
    }
}

impl Authorize for Reviewer {
    fn authorize(&self, question: Question) -> Answer<'_> {
        Box::pin(self.0.review(question))
    }
}

/// Who can be asked.
trait Ask: Send + Sync + 'static {
    fn whose(&self, token: &str) -> impl Future<Output = kube::Result<TokenReviewStatus>> + Send;
    fn allowed(
        &self,
        spec: &SubjectAccessReviewSpec,
    ) -> impl Future<Output = kube::Result<bool>> + Send;
}

impl Ask for Client {
    async fn whose(&self, token: &str) -> kube::Result<TokenReviewStatus> {
        let api: Api<TokenReview> = Api::all(self.clone());
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let answer = api.create(&PostParams::default(), &review).await?;
        Ok(answer.status.unwrap_or_default())
    }

    async fn allowed(&self, spec: &SubjectAccessReviewSpec) -> kube::Result<bool> {
        let api: Api<SubjectAccessReview> = Api::all(self.clone());
        let review = SubjectAccessReview {
            spec: spec.clone(),
            ..SubjectAccessReview::default()
        };
        let answer = api.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

/// There was no answer; who asks is told no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NoAnswer;

struct Reviews<A> {
    ask: A,
    tokens: Cache<Option<Arc<UserInfo>>>,
    rights: Cache<bool>,
    turns: Semaphore,
    news: std::sync::Mutex<News>,
}

impl<A: Ask> Reviews<A> {
    fn new(ask: A) -> Self {
        Self {
            ask,
            tokens: Cache::new(KEPT),
            rights: Cache::new(KEPT),
            turns: Semaphore::new(AT_ONCE),
            news: std::sync::Mutex::default(),
        }
    }

    async fn review(&self, question: Question) -> Result<(), Refusal> {
        let Question { token, path, verb } = question;
        let token = token.filter(|token| token.len() <= LONGEST);
        let token = token.ok_or(Refusal::Unauthenticated)?;
        let whose = self.whose(&token).await;
        let user = whose.map_err(|NoAnswer| Refusal::AuthenticationFailed)?;
        let user = user.ok_or(Refusal::Unauthenticated)?;
        let name = user.username.clone().unwrap_or_default();
        let spec = SubjectAccessReviewSpec {
            user: user.username.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(path),
                verb: Some(verb),
            }),
            resource_attributes: None,
        };
        match self.allowed(&spec).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::Denied { user: name }),
            Err(NoAnswer) => Err(Refusal::AuthorizationFailed { user: name }),
        }
    }

    async fn whose(&self, token: &str) -> Result<Option<Arc<UserInfo>>, NoAnswer> {
        let key = Sha256::digest(token).into();
        let ask = || async {
            let status = self.ask.whose(token).await?;
            let user = status.user.filter(is_somebody);
            let user = user.filter(|_| status.authenticated == Some(true));
            Ok(Held {
                good: user.is_some(),
                answer: user.map(Arc::new),
                keep: TOKEN,
            })
        };
        let asked = self.patiently("TokenReview", ask);
        self.tokens.get(key, asked, NoAnswer).await
    }

    async fn allowed(&self, spec: &SubjectAccessReviewSpec) -> Result<bool, NoAnswer> {
        let ask = || async {
            let allowed = self.ask.allowed(spec).await?;
            Ok(Held {
                good: allowed,
                answer: allowed,
                keep: if allowed { ALLOWED } else { DENIED },
            })
        };
        let asked = self.patiently("SubjectAccessReview", ask);
        self.rights.get(digest(spec), asked, NoAnswer).await
    }

    /// Asks until there is an answer, so often and so long as is worth while.
    async fn patiently<T, F>(&self, what: &'static str, ask: impl Fn() -> F) -> Result<T, NoAnswer>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let mut failure = None;
        let asked = timeout(DEADLINE, async {
            // It is never closed.
            let _turn = self.turns.acquire().await.ok();
            let mut pause = PAUSE;
            for attempt in 1..=ATTEMPTS {
                match ask().await {
                    Ok(answer) => return Some(answer),
                    Err(error) => {
                        let last = attempt == ATTEMPTS || !may_pass(&error);
                        failure = Some(error);
                        if last {
                            return None;
                        }
                    }
                }
                sleep(pause + pause.mul_f64(jitter())).await;
                pause = pause.mul_f64(1.5);
            }
            None
        });
        match asked.await {
            Ok(Some(answer)) => {
                self.tell(|news| news.works()).then(|| {
                    tracing::info!("reviews of who reads metrics are answered again");
                });
                Ok(answer)
            }
            Ok(None) | Err(_) => {
                let why = failure.map_or_else(
                    || format!("no answer within {DEADLINE:?}"),
                    |error| chain(&error),
                );
                let text = format!("{what}: {why}");
                if self.tell(|news| news.failed(&text)) {
                    warn!(error = text, "cannot find out who reads metrics");
                } else {
                    debug!(error = text, "still cannot find out who reads metrics");
                }
                Err(NoAnswer)
            }
        }
    }

    fn tell(&self, say: impl FnOnce(&mut News) -> bool) -> bool {
        let lock = self.news.lock();
        say(&mut lock.unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// Anonymous users have no token, and no business here.
fn is_somebody(user: &UserInfo) -> bool {
    let name = user.username.as_deref().unwrap_or_default();
    !name.is_empty() && name != "system:anonymous"
}

/// Whether the same question may have an answer a moment later.
fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 500..=599),
        _ => crate::reach::is_unreachable(error),
    }
}

fn digest(value: &(impl Serialize + Debug)) -> [u8; 32] {
    // Maps of these types are sorted: one value has one text.
    let text = serde_json::to_vec(value).unwrap_or_else(|_| format!("{value:?}").into_bytes());
    Sha256::digest(text).into()
}

/// Up to a fifth, so that the daemons of a cluster do not come back together.
fn jitter() -> f64 {
    f64::from(u8::try_from(RandomState::new().hash_one(0) % 200).unwrap_or_default()) / 1000.0
}

#[cfg(test)]
mod tests;
