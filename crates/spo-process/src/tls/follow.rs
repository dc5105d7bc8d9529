//! The certificate and the key that a Secret puts into a directory, followed as they change.
//!
//! The kubelet replaces both at once, by turning the link `..data`; others write one after the
//! other, and the pair in between is none. Such a pair leaves the previous one in use. The files are
//! read every few seconds: that needs nothing of the kernel, and finds them under any kind of mount.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use super::{Identity, IdentityError};
use crate::chain::chain;
use crate::tasks::Shutdown;

const CERTIFICATES: &str = "tls.crt";
const KEY: &str = "tls.key";
/// Bytes of one file. A Secret has 1 MiB at most.
const LIMIT: u64 = 1 << 20;
/// Pause between two looks. A kubelet takes about a minute to bring a new Secret.
const PAUSE: Duration = Duration::from_secs(5);

/// Why there is no new identity.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot read {file}")]
    Read {
        file: &'static str,
        source: io::Error,
    },
    #[error("{CERTIFICATES} and {KEY} are no pair")]
    Pair(#[source] IdentityError),
}

/// Keeps `identity` at what `tls.crt` and `tls.key` in `directory` say, until shutdown. As long as
/// they are no pair, it stays what it is.
pub async fn follow(
    directory: PathBuf,
    identity: watch::Sender<Option<Arc<Identity>>>,
    mut shutdown: Shutdown,
) {
    let mut follower = Follower {
        directory,
        identity,
        current: None,
        warned: None,
    };
    tokio::select! {
        () = shutdown.asked() => {}
        () = follower.run() => {}
    }
}

#[derive(PartialEq)]
struct Files {
    certificates: Vec<u8>,
    key: Vec<u8>,
}

struct Follower {
    directory: PathBuf,
    identity: watch::Sender<Option<Arc<Identity>>>,
    /// What the identity was made of.
    current: Option<Files>,
    /// What was said last: a file that stays broken is no news.
    warned: Option<String>,
}

impl Follower {
    async fn run(&mut self) {
        loop {
            match read(self.directory.clone()).await {
                Ok(files) => self.show(files),
                Err(error) => self.warn(&error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn show(&mut self, files: Files) {
        if self.current.as_ref() == Some(&files) {
            return;
        }
        match Identity::from_pem(&files.certificates, &files.key) {
            Ok(identity) => {
                info!("certificate loaded");
                self.identity.send_replace(Some(Arc::new(identity)));
                self.current = Some(files);
                self.warned = None;
            }
            Err(error) => self.warn(&Error::Pair(error)),
        }
    }

    fn warn(&mut self, error: &Error) {
        let error = chain(error);
        if self.warned.as_ref() == Some(&error) {
            return;
        }
        let consequence = if self.current.is_some() {
            "the previous certificate stays in use"
        } else if self.identity.borrow().is_some() {
            "a self-signed certificate is in use, which no client can verify"
        } else {
            "no request is answered until there is a certificate"
        };
        warn!(directory = %self.directory.display(), error, "{consequence}");
        self.warned = Some(error);
    }
}

async fn read(directory: PathBuf) -> Result<Files, Error> {
    let read = tokio::task::spawn_blocking(move || {
        Ok(Files {
            certificates: read_file(&directory, CERTIFICATES)?,
            key: read_file(&directory, KEY)?,
        })
    });
    read.await.unwrap_or_else(|panic| {
        Err(Error::Read {
            file: CERTIFICATES,
            source: io::Error::other(panic),
        })
    })
}

fn read_file(directory: &Path, file: &'static str) -> Result<Vec<u8>, Error> {
    let read = || {
        let mut bytes = Vec::new();
        let opened = File::open(directory.join(file))?;
        opened.take(LIMIT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LIMIT {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(bytes)
    };
    read().map_err(|source| Error::Read { file, source })
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, rename};
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use tokio::time::timeout;

    use super::*;
    use crate::tasks::Tasks;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    type Receiver = watch::Receiver<Option<Arc<Identity>>>;

    fn following(directory: &Path) -> (Receiver, Tasks) {
        let (sender, receiver) = watch::channel(None);
        let mut tasks = Tasks::new();
        let shutdown = tasks.shutdown();
        tasks.spawn(
            "certificate",
            follow(directory.to_owned(), sender, shutdown),
        );
        (receiver, tasks)
    }

    async fn changes(receiver: &mut Receiver) {
        let changed = timeout(Duration::from_secs(20), receiver.changed());
        changed.await.expect("a change within 20 s").unwrap();
    }

    /// Puts a pair where the kubelet would.
    fn mount(directory: &Path, version: &str, (certificate, key): (String, String)) {
        create_dir(directory.join(version)).unwrap();
        for (file, text) in [(CERTIFICATES, certificate), (KEY, key)] {
            let mut file = File::create(directory.join(version).join(file)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
        symlink(version, directory.join("..data_tmp")).unwrap();
        rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    }

    #[tokio::test]
    async fn a_secret_is_followed_through_its_link() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let (mut identity, _tasks) = following(directory);
        assert!(identity.borrow().is_none());
        for file in [CERTIFICATES, KEY] {
            symlink(format!("..data/{file}"), directory.join(file)).unwrap();
        }
        mount(directory, "..1", pair());
        changes(&mut identity).await;
        mount(directory, "..2", pair());
        changes(&mut identity).await;
        assert!(identity.borrow().is_some());
    }

    #[test]
    fn half_a_pair_leaves_the_previous_one_in_use() {
        let (sender, identity) = watch::channel(None);
        let mut follower = Follower {
            directory: PathBuf::from("certificates"),
            identity: sender,
            current: None,
            warned: None,
        };
        let files = |certificates: &str, key: &str| Files {
            certificates: certificates.into(),
            key: key.into(),
        };
        let ((certificate, key), (next, next_key)) = (pair(), pair());
        follower.show(files(&certificate, ""));
        assert!(identity.borrow().is_none());
        assert!(follower.warned.is_some());
        follower.show(files(&certificate, &key));
        let first = identity.borrow().clone().unwrap();
        assert!(follower.warned.is_none());
        for (certificate, key) in [
            (&next, &key),
            (&certificate, &key),
            (&next[..80].to_owned(), &key),
        ] {
            follower.show(files(certificate, key));
            assert!(Arc::ptr_eq(&first, identity.borrow().as_ref().unwrap()));
        }
        assert!(follower.warned.is_some());
        follower.show(files(&next, &next_key));
        assert!(!Arc::ptr_eq(&first, identity.borrow().as_ref().unwrap()));
    }
}
