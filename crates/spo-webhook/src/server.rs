//! All routes of the webhook, each counted.

use std::sync::{Arc, RwLock};
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::admission::{self, WEBHOOKS};
use crate::cache::Cache;
use crate::conversion;
use crate::http::{Outcome, Warnings};
use crate::metrics::Metrics;

/// Every route.
pub(crate) fn router(cache: &Arc<RwLock<Cache>>, metrics: &Metrics) -> Router {
    let mut router = counted(conversion::conversion_router(), conversion::PATH, metrics);
    for webhook in &WEBHOOKS {
        let route = admission::router(webhook, Arc::clone(cache));
        router = router.merge(counted(route, webhook.path, metrics));
    }
    router
}

fn counted(route: Router, path: &'static str, metrics: &Metrics) -> Router {
    route.route_layer(from_fn_with_state((metrics.clone(), path), count))
}

async fn count(
    State((metrics, path)): State<(Metrics, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let response = next.run(request).await;
    let outcome = response.extensions().get::<Outcome>().copied();
    let outcome = outcome.unwrap_or_else(|| unanswered(response.status()));
    metrics.count(path, outcome, start.elapsed());
    if let Some(Warnings(warnings)) = response.extensions().get() {
        metrics.count_warnings(path, *warnings);
    }
    response
}

/// How a request ended to which there was no review.
fn unanswered(status: StatusCode) -> Outcome {
    Outcome(if status.is_server_error() {
        "error"
    } else {
        "bad_request"
    })
}

#[cfg(test)]
mod tests;
