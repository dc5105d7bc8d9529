//! Client: asks selinuxd, or our own backend, over its socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::status::{self, PolicyStatus, Ready, is_policy_name};

/// How long an answer may take. selinuxd answers from memory, also while it compiles a policy.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The longest answer, in bytes: the names of some thousand policies.
const BODY_LIMIT: usize = 1 << 20;

/// How much of a wrong answer an error quotes, in characters.
const QUOTE: usize = 100;

/// Asks about policies. Holds no connection, so that a restart of the other side is nothing to it.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    time_limit: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody has made the socket: selinuxd does not run, or not yet.
    #[error("selinuxd is not there: {socket} does not exist")]
    Absent {
        /// Of the socket.
        socket: String,
    },
    /// The socket is there and nobody listens: selinuxd has ended.
    #[error("selinuxd does not listen on {socket}: it has ended or is starting again")]
    Refused {
        /// Of the socket.
        socket: String,
    },
    /// The socket can not be connected to, most likely for lack of permission.
    #[error("cannot connect to selinuxd on {socket}")]
    Connect {
        /// Of the socket.
        socket: String,
        /// From connect(2).
        source: io::Error,
    },
    /// selinuxd took too long.
    #[error("selinuxd on {socket} did not answer {path} within {seconds} s")]
    TimedOut {
        /// Of the socket.
        socket: String,
        /// What was asked.
        path: String,
        /// The time limit.
        seconds: u64,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("the connection to selinuxd on {socket} broke while asking {path}")]
    Broken {
        /// Of the socket.
        socket: String,
        /// What was asked.
        path: String,
        /// What went wrong.
        source: hyper::Error,
    },
    /// The answer is longer than any answer should be, or ended early.
    #[error("cannot read selinuxd's answer to {path}, at most {BODY_LIMIT} bytes")]
    Body {
        /// What was asked.
        path: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer of another status than the contract names.
    #[error("selinuxd answered {path} with status {status}: {body:?}")]
    Status {
        /// What was asked.
        path: String,
        /// The status of the answer.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// An answer of the right status which says nothing that the contract names.
    #[error("cannot understand selinuxd's answer to {path}: {body:?}")]
    Answer {
        /// What was asked.
        path: String,
        /// The beginning of the answer.
        body: String,
        /// What is wrong with it.
        source: status::Error,
    },
    /// The name was not asked for, because it would change the meaning of the request.
    #[error("{0:?} is not the name of a policy: use letters, digits, `-`, `_` and `.`")]
    Name(String),
}

impl Client {
    /// Of the socket at this path, which need not exist.
    pub fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            time_limit: TIME_LIMIT,
        }
    }

    /// Whether everything was installed once that was there when selinuxd started.
    pub async fn ready(&self) -> Result<bool, Error> {
        let path = "/ready";
        let (status, body) = self.get(path).await?;
        if status != StatusCode::OK {
            return Err(unexpected(path, status, &body));
        }
        let ready: Ready =
            serde_json::from_slice(&body).map_err(|error| answer(path, &body, error.into()))?;
        Ok(ready.ready)
    }

    /// What became of a policy. `None`: selinuxd has not seen its file, or does not know it any
    /// more.
    pub async fn policy(&self, name: &str) -> Result<Option<PolicyStatus>, Error> {
        if !is_policy_name(name) {
            return Err(Error::Name(name.to_owned()));
        }
        let path = format!("/policies/{name}");
        let (status, body) = self.get(&path).await?;
        match status {
            StatusCode::OK => PolicyStatus::parse(&body)
                .map(Some)
                .map_err(|error| answer(&path, &body, error)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(unexpected(&path, status, &body)),
        }
    }

    /// The names of the policies which selinuxd knows, installed or failed, sorted.
    pub async fn policies(&self) -> Result<Vec<String>, Error> {
        let path = "/policies/";
        let (status, body) = self.get(path).await?;
        if status != StatusCode::OK {
            return Err(unexpected(path, status, &body));
        }
        // Upstream writes an empty list as null.
        let names: Option<Vec<String>> =
            serde_json::from_slice(&body).map_err(|error| answer(path, &body, error.into()))?;
        let mut names = names.unwrap_or_default();
        names.sort_unstable();
        Ok(names)
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, Bytes), Error> {
        match timeout(self.time_limit, self.ask(path)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Error::TimedOut {
                socket: display(&self.socket),
                path: path.to_owned(),
                seconds: self.time_limit.as_secs(),
            }),
        }
    }

    async fn ask(&self, path: &str) -> Result<(StatusCode, Bytes), Error> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| connect(&self.socket, error))?;
        let broken = |source: hyper::Error| Error::Broken {
            socket: display(&self.socket),
            path: path.to_owned(),
            source,
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = path.parse().map_err(|_uri| Error::Name(path.to_owned()))?;
        // The authority which upstream's daemon names.
        let authority = header::HeaderValue::from_static("unix");
        request.headers_mut().insert(header::HOST, authority);
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            read(path, answer).await
        };
        // The connection has to be driven beside the exchange; it goes when we are done with it.
        tokio::pin!(exchange);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            answer = &mut exchange => return answer,
            _closed = &mut connection => {}
        }
        // Closed by the other side: what it said before that is still to be read.
        exchange.await
    }
}

async fn read(
    path: &str,
    answer: Response<hyper::body::Incoming>,
) -> Result<(StatusCode, Bytes), Error> {
    let (head, body) = answer.into_parts();
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => Ok((head.status, body.to_bytes())),
        Err(source) => Err(Error::Body {
            path: path.to_owned(),
            source,
        }),
    }
}

fn connect(socket: &Path, source: io::Error) -> Error {
    let socket = display(socket);
    match source.kind() {
        io::ErrorKind::NotFound => Error::Absent { socket },
        io::ErrorKind::ConnectionRefused => Error::Refused { socket },
        _ => Error::Connect { socket, source },
    }
}

fn unexpected(path: &str, status: StatusCode, body: &[u8]) -> Error {
    Error::Status {
        path: path.to_owned(),
        status: status.as_u16(),
        body: quote(body),
    }
}

fn answer(path: &str, body: &[u8], source: status::Error) -> Error {
    Error::Answer {
        path: path.to_owned(),
        body: quote(body),
        source,
    }
}

fn quote(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.trim_end().chars().take(QUOTE).collect()
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
