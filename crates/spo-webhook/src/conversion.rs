//! `POST /convert`: objects of one version of our kinds as objects of another (contract 04, 7).

mod review;

pub use review::{Answer, BadReview, review};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use spo_process::chain::chain;

use crate::http::{self, Intake, Outcome, refused};

/// The path that the CustomResourceDefinitions name.
pub(crate) const PATH: &str = "/convert";

/// An API server sends one object in a review (seen of 1.37), and an object has 1.5 MiB at most, which
/// is the limit of etcd. There is room for 5,000 profiles of 3 KiB in one, for whoever sends lists.
/// Question and answer take three times as much memory as the question, of the 128 MiB of a manager;
/// whoever reaches the Service can ask.
const LIMIT: usize = 16 << 20;
/// Room for the reviews of all that an API server asks at once.
const TOGETHER: usize = 3 * LIMIT / 2;

/// The route `/convert`. It needs nothing but itself.
pub fn conversion_router() -> Router {
    let intake = Intake::new(LIMIT, TOGETHER);
    Router::new().route(PATH, post(convert)).with_state(intake)
}

async fn convert(State(intake): State<Intake>, request: Request) -> Response {
    let body = match intake.read(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let worked = http::work(body.bytes.len(), move || {
        let Answer {
            body: answer,
            failure,
        } = review(&body.bytes)?;
        Ok::<_, BadReview>((body.answer(answer), failure))
    });
    match worked.await {
        Ok(Ok((body, None))) => http::json(body, Outcome("converted")),
        Ok(Ok((body, Some(failure)))) => {
            tracing::warn!(error = failure, "cannot convert");
            http::json(body, Outcome("failed"))
        }
        Ok(Err(error)) => refused(StatusCode::BAD_REQUEST, chain(&error)),
        Err(refusal) => refusal,
    }
}
