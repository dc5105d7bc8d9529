//! What the routes share: reading a body within bounds, and working on it without holding up others.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// An API server waits 30 s for an answer at most.
const BODY: Duration = Duration::from_secs(30);
/// Longer bodies are worked on beside the asynchronous workers: they take more than a millisecond.
const INLINE: usize = 64 << 10;
/// What bodies are counted in, in bytes.
const UNIT: usize = 64 << 10;

/// How a request ended, for the metrics. It travels as an extension of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome(pub(crate) &'static str);

/// How many warnings an answer has, for the metrics, in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Warnings(pub(crate) usize);

/// What one route takes in: how much at once, and how much together.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    limit: usize,
    units: Arc<Semaphore>,
}

/// A body, and the right to hold as many bytes in memory.
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    held: OwnedSemaphorePermit,
}

impl Body {
    /// Makes an answer out of a question. An answer has about its length, and takes its place until
    /// it is sent.
    pub(crate) fn answer(self, body: Vec<u8>) -> Self {
        Self {
            bytes: body,
            held: self.held,
        }
    }
}

/// The bytes that are sent.
struct Sent {
    bytes: Vec<u8>,
    _held: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Intake {
    /// Takes bodies up to `limit` bytes, and at most `together` bytes of them at once; what goes
    /// beyond waits. `together` is not less than `limit`.
    pub(crate) fn new(limit: usize, together: usize) -> Self {
        Self {
            limit,
            units: Arc::new(Semaphore::new(together.max(limit).div_ceil(UNIT))),
        }
    }

    /// Reads the body of a request; or says what is wrong with it.
    pub(crate) async fn read(&self, request: Request) -> Result<Body, Response> {
        if !is_json(request.headers()) {
            let text = "the content type must be application/json";
            return Err(refused(StatusCode::BAD_REQUEST, text));
        }
        let length = declared(request.headers()).unwrap_or(self.limit);
        if length > self.limit {
            return Err(self.too_large());
        }
        let read = timeout(BODY, self.collect(request, length));
        let out_of_time = |_elapsed| {
            let text = "the body did not come in time";
            refused(StatusCode::REQUEST_TIMEOUT, text)
        };
        read.await.map_err(out_of_time)?
    }

    /// Collects a body of at most `length` bytes in one piece.
    async fn collect(&self, request: Request, length: usize) -> Result<Body, Response> {
        let units = u32::try_from(length.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let held = Arc::clone(&self.units).acquire_many_owned(units).await;
        let held = held
            .map_err(|_closed| refused(StatusCode::SERVICE_UNAVAILABLE, "the server is ending"))?;
        let mut bytes = Vec::with_capacity(length);
        let mut pieces = request.into_body().into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece
                .map_err(|_broken| refused(StatusCode::BAD_REQUEST, "the body can not be read"))?;
            if bytes.len() + piece.len() > self.limit {
                return Err(self.too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Body { bytes, held })
    }

    fn too_large(&self) -> Response {
        let text = format!("the body is larger than {} bytes", self.limit);
        refused(StatusCode::PAYLOAD_TOO_LARGE, text)
    }
}

/// Runs `work` on a body of `length` bytes.
pub(crate) async fn work<T: Send + 'static>(
    length: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    if length <= INLINE {
        return Ok(work());
    }
    // An error is a panic, which the runtime has logged.
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(|_panic| refused(StatusCode::INTERNAL_SERVER_ERROR, "the review failed"))
}

/// A request that is answered with plain text.
pub(crate) fn refused(status: StatusCode, text: impl Into<String>) -> Response {
    (status, text.into()).into_response()
}

/// An answer in JSON.
pub(crate) fn json(body: Body, outcome: Outcome) -> Response {
    let body = Bytes::from_owner(Sent {
        bytes: body.bytes,
        _held: body.held,
    });
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    response.extensions_mut().insert(outcome);
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let essence = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn declared(headers: &HeaderMap) -> Option<usize> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}
