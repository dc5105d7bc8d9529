//! Metrics as text, for whoever has the right to read them.
//!
//! Who that is, [`Authorize`] says: this file knows HTTP, and nothing of tokens but where they
//! stand. Status codes and texts are public (contract 02, 10.1).

mod process;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus::{IntCounterVec, Opts, Registry, TextEncoder};

pub use process::register as register_process;

/// Where every component serves what it says about itself.
pub const PATH: &str = "/metrics";
/// Where a daemon serves what it says about its node.
pub const NODE_PATH: &str = "/metrics-spod";

/// Who asks for what.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// The bearer token, if there is one.
    pub token: Option<String>,
    /// The path that is asked for.
    pub path: String,
    /// The method, in lower case.
    pub verb: String,
}

/// Why somebody gets no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody we know.
    Unauthenticated,
    /// It could not be found out who it is.
    AuthenticationFailed,
    /// Somebody who has no right to this.
    Denied {
        /// Who.
        user: String,
    },
    /// It could not be found out whether somebody has a right to this.
    AuthorizationFailed {
        /// Who.
        user: String,
    },
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Denied { .. } => StatusCode::FORBIDDEN,
            Self::AuthenticationFailed | Self::AuthorizationFailed { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Unauthenticated => "Unauthorized".to_owned(),
            Self::AuthenticationFailed => "Authentication failed".to_owned(),
            Self::Denied { user } => format!("Authorization denied for user {user}"),
            Self::AuthorizationFailed { user } => format!("Authorization for user {user} failed"),
        }
    }
}

/// What an answer to a question is waited for with.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

/// Says who may read metrics. It bounds how long that takes.
pub trait Authorize: Send + Sync + 'static {
    /// Whether this question gets an answer.
    fn authorize(&self, question: Question) -> Answer<'_>;
}

/// What is served under one path.
#[derive(Clone)]
pub struct Page {
    path: &'static str,
    registry: Registry,
}

impl Page {
    /// A page with what a process says about itself ([`register_process`]).
    pub fn new(path: &'static str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        register_process(&registry)?;
        Ok(Self { path, registry })
    }

    /// Where further families are registered.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// The pages, for those who have a right to them; for everybody without `authorize`. The requests
/// are counted, and the counter is on the last of the pages.
pub fn router(
    pages: Vec<Page>,
    authorize: Option<Arc<dyn Authorize>>,
) -> Result<Router, prometheus::Error> {
    let answers = IntCounterVec::new(
        Opts::new(
            "security_profiles_operator_metrics_requests_total",
            "Counter about requests for metrics by status code.",
        ),
        &["code"],
    )?;
    if let Some(page) = pages.last() {
        page.registry.register(Box::new(answers.clone()))?;
    }
    let mut router = Router::new();
    for Page { path, registry } in pages {
        router = router.route(path, get(exposition).with_state(registry));
    }
    if let Some(authorize) = authorize {
        router = router.route_layer(from_fn_with_state(authorize, protect));
    }
    Ok(router.route_layer(from_fn_with_state(answers, count)))
}

async fn exposition(State(registry): State<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn count(State(answers): State<IntCounterVec>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    answers
        .with_label_values(&[response.status().as_str()])
        .inc();
    response
}

async fn protect(
    State(authorize): State<Arc<dyn Authorize>>,
    request: Request,
    next: Next,
) -> Response {
    let question = Question {
        token: bearer(request.headers()),
        path: request.uri().path().to_owned(),
        verb: request.method().as_str().to_ascii_lowercase(),
    };
    match authorize.authorize(question).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let mut response = (refusal.status(), refusal.text()).into_response();
            let headers = response.headers_mut();
            let sniff = header::HeaderValue::from_static("nosniff");
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, sniff);
            if refusal == Refusal::Unauthenticated {
                let scheme = header::HeaderValue::from_static("Bearer");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        }
    }
}

/// The token of the one header that there is. Of two, nobody could say which counts.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    let good = scheme.eq_ignore_ascii_case("bearer")
        && !token.is_empty()
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| token.to_owned())
}

#[cfg(test)]
mod tests;
