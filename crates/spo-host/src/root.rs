//! NodeRoot: the directory under which the node's files appear; lookups can not escape it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::file::{self, Dir};

/// The directory under which the node's files appear: `/`, `/host`, or one made for a test.
#[derive(Debug, Clone)]
pub struct NodeRoot(Dir);

/// Whether directories which are missing are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateDirs {
    /// Make them, with mode 0744 (contract 02a, 2.7).
    Missing,
    /// Make them, with mode 0755: whoever runs containers may not be root, and can look up a
    /// profile only with search permission.
    MissingSearchable,
    /// Leave the node as it is.
    Never,
}

/// Why a directory of the node can not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node root is absent or is not a directory.
    #[error("cannot open node root {path}")]
    OpenRoot {
        /// As it was given.
        path: String,
        /// From open(2).
        source: io::Error,
    },
    /// The path has a part which is `.`, `..`, empty, too long, or holds a NUL.
    #[error("{0:?} is not a path on the node")]
    InvalidPath(String),
    /// The directory is absent, is not a directory, or may not be read.
    #[error("cannot open directory {path}")]
    OpenDir {
        /// As the node sees it.
        path: String,
        /// From openat2(2).
        source: io::Error,
    },
    /// The directory was absent and can not be made.
    #[error("cannot make directory {path}")]
    CreateDir {
        /// As the node sees it.
        path: String,
        /// From mkdirat(2), fchmod(2) or fsync(2).
        source: io::Error,
    },
    /// A link leads to a directory which does not exist. It is not made, because a link may be
    /// dangling on purpose.
    #[error("{path} is a link to nowhere")]
    DanglingLink {
        /// As the node sees it.
        path: String,
    },
    /// The kernel has no openat2(2), so that a lookup could leave the node root.
    #[error(
        "cannot open directory {path} safely: the kernel lacks openat2, use Linux 5.6 or later"
    )]
    KernelTooOld {
        /// As the node sees it.
        path: String,
    },
}

/// Mode of directories which are made (contract 02a, 2.7).
const DIRECTORY_MODE: u32 = 0o744;

/// The same with search permission for all.
pub const SEARCHABLE_MODE: u32 = 0o755;

impl CreateDirs {
    /// Of a directory which is made, if one is.
    fn mode(self) -> Option<u32> {
        match self {
            Self::Missing => Some(DIRECTORY_MODE),
            Self::MissingSearchable => Some(SEARCHABLE_MODE),
            Self::Never => None,
        }
    }
}

/// How often a lookup is tried again when somebody renames a directory on its way, which the
/// kernel answers with EAGAIN. Each attempt needs a rename at the wrong moment, so that a few do.
const LOOKUPS: usize = 16;

impl NodeRoot {
    /// Opens the node root. The descriptor is held until the last clone is dropped.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match fs::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self(Dir::new(fd, "/"))),
            Err(errno) => Err(Error::OpenRoot {
                path: path.display().to_string(),
                source: errno.into(),
            }),
        }
    }

    /// Opens a directory of the node.
    ///
    /// `path` is the path as the node sees it, with or without the leading slash; empty means the
    /// root itself. Links in it are followed as the node would: an absolute one starts again at
    /// the node root.
    pub fn dir(&self, path: &str, create: CreateDirs) -> Result<Dir, Error> {
        let parts = parts(path)?;
        let mode = match (self.lookup(&parts), create.mode()) {
            (Ok(fd), _) => return Ok(Dir::new(fd, &absolute(&parts))),
            (Err(Errno::NOENT), Some(mode)) => mode,
            (Err(errno), _) => return Err(open_error(&parts, errno)),
        };
        for end in 1..=parts.len() {
            self.ensure(&parts[..end], mode)?;
        }
        match self.lookup(&parts) {
            Ok(fd) => Ok(Dir::new(fd, &absolute(&parts))),
            Err(errno) => Err(open_error(&parts, errno)),
        }
    }

    /// Makes the last directory of `parts`, unless it exists.
    fn ensure(&self, parts: &[&str], mode: u32) -> Result<(), Error> {
        match self.lookup(parts) {
            Ok(_) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(open_error(parts, errno)),
        }
        let Some((name, above)) = parts.split_last() else {
            return Err(open_error(parts, Errno::NOENT));
        };
        let parent = self
            .lookup(above)
            .map_err(|errno| open_error(above, errno))?;
        match make(&parent, name, mode) {
            Ok(()) => Ok(()),
            // Either somebody else was faster, or a link stands there and leads nowhere.
            Err(Errno::EXIST) => match self.lookup(parts) {
                Ok(_) => Ok(()),
                Err(Errno::NOENT) => Err(Error::DanglingLink {
                    path: absolute(parts),
                }),
                Err(errno) => Err(open_error(parts, errno)),
            },
            Err(errno) => Err(Error::CreateDir {
                path: absolute(parts),
                source: errno.into(),
            }),
        }
    }

    /// Opens an existing directory. `..` is not in `parts`, and links which hold it or start with
    /// a slash stay beneath the root: RESOLVE_IN_ROOT, openat2(2).
    fn lookup(&self, parts: &[&str]) -> Result<OwnedFd, Errno> {
        let path = if parts.is_empty() {
            ".".to_owned()
        } else {
            parts.join("/")
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let lookup = || fs::openat2(&self.0, path.as_str(), flags, Mode::empty(), resolve);
        let mut found = lookup();
        for _ in 1..LOOKUPS {
            if found.as_ref().err() != Some(&Errno::AGAIN) {
                break;
            }
            found = lookup();
        }
        found
    }
}

/// Makes a directory and returns when it is on disk. The mode does not depend on the umask.
fn make(parent: &OwnedFd, name: &str, mode: u32) -> Result<(), Errno> {
    fs::mkdirat(parent, name, Mode::from_raw_mode(mode))?;
    // Not by the whole path: what is given a mode must be what was just made.
    let made = fs::openat2(
        parent,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    )?;
    fs::fchmod(&made, Mode::from_raw_mode(mode))?;
    fs::fsync(parent)
}

fn parts(path: &str) -> Result<Vec<&str>, Error> {
    let inner = path.trim_matches('/');
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = inner.split('/').collect();
    if parts.iter().all(|part| file::is_name(part)) {
        Ok(parts)
    } else {
        Err(Error::InvalidPath(path.to_owned()))
    }
}

fn absolute(parts: &[&str]) -> String {
    format!("/{}", parts.join("/"))
}

fn open_error(parts: &[&str], errno: Errno) -> Error {
    let path = absolute(parts);
    match errno {
        Errno::NOSYS => Error::KernelTooOld { path },
        errno => Error::OpenDir {
            path,
            source: errno.into(),
        },
    }
}

#[cfg(test)]
mod tests;
