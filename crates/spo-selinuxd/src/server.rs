//! Server: the same answers as upstream's selinuxd, on a socket (contract 02a, 3.7).

use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::routing::any;
use serde::Serialize;
use spo_process::tasks::Shutdown;
use tokio::net::{UnixListener, UnixStream};

use crate::status::{Ready, Written};
use crate::view::Current;

/// Who may talk to the server: its owner and its group.
const MODE: u32 = 0o660;

/// Why the socket can not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another selinuxd answers there.
    #[error("{0:?} is served by another selinuxd: end it, or use another --socket-path")]
    Taken(PathBuf),
    /// Something that is not a socket stands there. It is not removed.
    #[error("{0:?} is not a socket: remove it, or use another --socket-path")]
    NotASocket(PathBuf),
    /// The socket can not be made.
    #[error("cannot listen on {path:?}")]
    Listen {
        /// Of the socket.
        path: PathBuf,
        /// From bind(2), chown(2), chmod(2) or rename(2).
        source: io::Error,
    },
}

/// Makes the socket. One which was left behind is replaced in one step; nobody sees a socket which
/// has the wrong owner or mode.
pub(crate) async fn listen(path: &Path, uid: u32, gid: u32) -> Result<UnixListener, Error> {
    use std::os::unix::fs::FileTypeExt as _;
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(Error::NotASocket(path.to_owned()));
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(Error::Taken(path.to_owned()));
        }
        Ok(_) | Err(_) => {}
    }
    bind(path, uid, gid).map_err(|source| Error::Listen {
        path: path.to_owned(),
        source,
    })
}

fn bind(path: &Path, uid: u32, gid: u32) -> io::Result<UnixListener> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    if let Err(error) = std::fs::remove_file(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(&new)?;
    chown(&new, Some(uid), Some(gid))?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(MODE))?;
    std::fs::rename(&new, path)?;
    Ok(listener)
}

/// Serves until shutdown.
pub(crate) async fn serve(listener: UnixListener, current: Current, mut shutdown: Shutdown) {
    let stopped = async move { shutdown.asked().await };
    let served = axum::serve(listener, router(current))
        .with_graceful_shutdown(stopped)
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "cannot serve");
    }
}

/// Every path and method gets an answer, as upstream's server gives it.
pub(crate) fn router(current: Current) -> Router {
    Router::new().fallback(any(answer)).with_state(current)
}

async fn answer(State(current): State<Current>, uri: Uri) -> (StatusCode, String) {
    let view = current.borrow();
    match uri.path() {
        "/ready" | "/ready/" => json(&Ready { ready: view.ready }),
        "/policies" | "/policies/" => {
            let names: Vec<&String> = view.policies.keys().collect();
            json(&(!names.is_empty()).then_some(names))
        }
        path => match path.strip_prefix("/policies/") {
            None => text(StatusCode::BAD_REQUEST, "Invalid path"),
            Some(name) => match view.policies.get(name) {
                Some(status) => json(&Written::of(status)),
                None => text(StatusCode::NOT_FOUND, "couldn't find requested policy"),
            },
        },
    }
}

fn json(body: &impl Serialize) -> (StatusCode, String) {
    match serde_json::to_string(body) {
        Ok(body) => text(StatusCode::OK, &body),
        Err(_error) => text(StatusCode::INTERNAL_SERVER_ERROR, "Cannot get status"),
    }
}

/// Upstream ends every body with a newline.
fn text(status: StatusCode, body: &str) -> (StatusCode, String) {
    (status, format!("{body}\n"))
}

#[cfg(test)]
mod tests;
