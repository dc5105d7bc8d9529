//! The admission webhooks: one path each, one pure function each (contract 04, 1.1).
//!
//! A new decision is a function from a [`Request`] and the [`Cache`] to a [`Decision`], and its line
//! in [`WEBHOOKS`].

pub mod binding;
pub mod decision;
pub mod exec_metadata;
pub mod raw_selinux;
pub mod review;

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use spo_process::chain::chain;
use tracing::warn;

use crate::cache::Cache;
use crate::http::{self, Intake, Warnings, refused};
use decision::Decision;
use review::{BadReview, Request, Warned, review};

/// Bytes of a review, as upstream has it.
const LIMIT: usize = 7 << 20;
/// Room for the reviews of one path at once.
const TOGETHER: usize = 4 * LIMIT;

/// An admission webhook.
#[derive(Debug)]
pub struct Webhook {
    /// Where the configuration of the webhook sends reviews.
    pub path: &'static str,
    /// What answers them.
    pub decide: Decide,
}

/// What a decision is made from.
#[derive(Debug, Clone, Copy)]
pub enum Decide {
    /// The request alone.
    Request(fn(&Request) -> Decision),
    /// What we know of the cluster, too. Not asked before that is complete.
    Cached(fn(&Request, &Cache) -> Decision),
}

/// Every admission webhook.
pub static WEBHOOKS: [Webhook; 4] = [
    Webhook {
        path: "/mutate-v1-pod-binding",
        decide: Decide::Cached(binding::decide),
    },
    Webhook {
        path: "/mutate-v1-pod-recording",
        decide: Decide::Request(recording),
    },
    Webhook {
        path: "/mutate-v1-exec-metadata",
        decide: Decide::Request(exec_metadata::decide),
    },
    Webhook {
        path: "/validate-rawselinuxprofile",
        decide: Decide::Cached(raw_selinux::decide),
    },
];

/// No recording is started yet.
fn recording(_: &Request) -> Decision {
    Decision::allow("pod unchanged")
}

impl Decide {
    /// Decides on a request.
    pub fn decide(self, request: &Request, cache: &Cache) -> Decision {
        match self {
            Self::Request(decide) => decide(request),
            Self::Cached(decide) if cache.synced() => decide(request, cache),
            Self::Cached(_) => Decision::Deny {
                code: 500,
                message: "the webhook has not seen the whole cluster yet, try again in some \
                          seconds"
                    .to_owned(),
            },
        }
    }
}

#[derive(Clone)]
struct Shared {
    webhook: &'static Webhook,
    intake: Intake,
    cache: Arc<RwLock<Cache>>,
}

/// The route of a webhook.
pub(crate) fn router(webhook: &'static Webhook, cache: Arc<RwLock<Cache>>) -> Router {
    let intake = Intake::new(LIMIT, TOGETHER);
    let shared = Shared {
        webhook,
        intake,
        cache,
    };
    Router::new()
        .route(webhook.path, post(admit))
        .with_state(shared)
}

async fn admit(State(shared): State<Shared>, request: axum::extract::Request) -> Response {
    let Shared {
        webhook,
        intake,
        cache,
    } = shared;
    let body = match intake.read(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let worked = http::work(body.bytes.len(), move || {
        let answer = review(&body.bytes, |request| {
            // A reader that panicked has changed nothing.
            let cache = cache.read().unwrap_or_else(PoisonError::into_inner);
            webhook.decide.decide(request, &cache)
        })?;
        if let Some(warned) = &answer.warned {
            tell(webhook.path, warned);
        }
        let warnings = answer.warned.map_or(0, |warned| warned.warnings.len());
        Ok::<_, BadReview>((body.answer(answer.body), answer.outcome, Warnings(warnings)))
    });
    match worked.await {
        Ok(Ok((body, outcome, warnings))) => {
            let mut response = http::json(body, outcome);
            response.extensions_mut().insert(warnings);
            response
        }
        Ok(Err(error)) => refused(StatusCode::BAD_REQUEST, chain(&error)),
        Err(refusal) => refusal,
    }
}

/// Who creates a pod is often a controller, which shows no warnings to anybody.
fn tell(path: &'static str, warned: &Warned) {
    let Warned {
        namespace,
        name,
        warnings,
    } = warned;
    for warning in warnings {
        warn!(path, %namespace, %name, "{warning}");
    }
}
