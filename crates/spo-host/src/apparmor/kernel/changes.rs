//! Changes: waits until somebody loads, replaces or removes a profile.
//!
//! The file `revision` of the kernel is readable whenever the policy has changed since this
//! descriptor was last read (security/apparmor/apparmorfs.c, `ns_revision_poll`).

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, Mode, OFlags};
use tokio::io::unix::AsyncFd;

use super::Error;

/// A stream of changes. The first one is there at once, unless no profile was ever loaded.
#[derive(Debug)]
pub struct Changes {
    revision: AsyncFd<OwnedFd>,
}

impl Changes {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::open(path, flags, Mode::empty())?;
        #[expect(
            deprecated,
            reason = "`new` is unsound for a type whose descriptor changes or closes early, and \
                      its replacement is unsafe; an OwnedFd keeps its descriptor until it is \
                      dropped"
        )]
        let revision = AsyncFd::new(file)?;
        Ok(Self { revision })
    }

    /// Waits for a change. Several may have come together.
    ///
    /// Cancel-safe: a future which is dropped before it is ready has consumed nothing.
    pub async fn next(&mut self) -> Result<(), Error> {
        loop {
            let mut ready = self.revision.readable().await.map_err(Error::Wait)?;
            let read = ready.try_io(|revision| {
                let mut number = [0; 32];
                Ok(rustix::io::read(revision.get_ref(), &mut number)?)
            });
            match read {
                // No number has no digits.
                Ok(Ok(0)) | Err(_) => {}
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(source)) => return Err(Error::Wait(source)),
            }
        }
    }
}
