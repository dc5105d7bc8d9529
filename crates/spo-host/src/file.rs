//! Files of one directory of the node: read, write whole, unlink, list.

pub mod entry;
pub(crate) mod temp;
mod write;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::file::temp::TempName;

/// Mode of the files which are written: everyone may read a profile (contract 02a, 2.7).
pub const FILE_MODE: u32 = 0o644;

/// An open directory of the node. Clones share one descriptor.
#[derive(Debug, Clone)]
pub struct Dir {
    fd: Arc<OwnedFd>,
    path: Arc<str>,
}

/// What an unlink found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// A file, which is gone now.
    Yes,
    /// Nothing.
    WasAbsent,
}

/// Why a file of the node can not be read, written or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Empty, `.`, `..`, longer than 255 bytes, or with a slash or NUL in it.
    #[error("{0:?} is not a file name")]
    InvalidName(String),
    /// A link stands where a file is expected. It is not followed.
    #[error("{path} is a symbolic link")]
    Symlink {
        /// Of the link.
        path: String,
    },
    /// A directory, FIFO, socket or device stands where a file is expected.
    #[error("{path} is not a regular file")]
    NotRegular {
        /// Of the thing.
        path: String,
    },
    /// The file holds more than the caller wants to read.
    #[error("{path} is bigger than {limit} bytes")]
    TooBig {
        /// Of the file.
        path: String,
        /// The limit which the caller gave, in bytes.
        limit: usize,
    },
    /// The directory holds more entries than any directory of ours should.
    #[error("{path} has more than {limit} entries")]
    TooManyEntries {
        /// Of the directory.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// The file is there and can not be read.
    #[error("cannot read {path}")]
    Read {
        /// Of the file.
        path: String,
        /// From openat2(2) or read(2).
        source: io::Error,
    },
    /// The file can not be written. What stood there before still stands there, whole, unless the
    /// source is from the last fsync(2) of the directory.
    #[error("cannot write {path}")]
    Write {
        /// Of the file.
        path: String,
        /// From the first step which failed.
        source: io::Error,
    },
    /// The file can not be removed.
    #[error("cannot remove {path}")]
    Unlink {
        /// Of the file.
        path: String,
        /// From unlinkat(2) or fsync(2).
        source: io::Error,
    },
    /// The owner or the mode can not be changed.
    #[error("cannot change the owner or mode of {path}")]
    Change {
        /// Of the file or directory.
        path: String,
        /// From fchownat(2) or fchmod(2).
        source: io::Error,
    },
    /// The file has other names, of which one may be in a directory of somebody else.
    #[error("{path} is a hard link")]
    SeveralNames {
        /// Of the file.
        path: String,
    },
    /// The directory can not be listed.
    #[error("cannot list {path}")]
    List {
        /// Of the directory.
        path: String,
        /// From getdents64(2).
        source: io::Error,
    },
}

/// The longest name of a file: NAME_MAX, in bytes.
const NAME_MAX: usize = 255;

/// More entries than a node can have profiles: `list` gives up rather than fill the memory.
const ENTRIES_MAX: usize = 65_536;

impl Dir {
    pub(crate) fn new(fd: OwnedFd, path: &str) -> Self {
        Self {
            fd: Arc::new(fd),
            path: Arc::from(path),
        }
    }

    /// The directory as the node sees it, for messages.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads a file of at most `limit` bytes. `None`: there is no such file.
    pub fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        let path = self.file_path(name)?;
        // Without NONBLOCK a FIFO would hold us until somebody writes to it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let fd = match fs::openat2(self, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(Error::Symlink { path }),
            // A socket.
            Err(Errno::NXIO) => return Err(Error::NotRegular { path }),
            Err(errno) => {
                return Err(Error::Read {
                    path,
                    source: errno.into(),
                });
            }
        };
        let stat = match fs::fstat(&fd) {
            Ok(stat) => stat,
            Err(errno) => {
                return Err(Error::Read {
                    path,
                    source: errno.into(),
                });
            }
        };
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(Error::NotRegular { path });
        }
        // One byte more than allowed tells whether there is more, even if the file grows now.
        let mut bytes = Vec::new();
        match File::from(fd)
            .take(limit as u64 + 1)
            .read_to_end(&mut bytes)
        {
            Ok(_) if bytes.len() > limit => Err(Error::TooBig { path, limit }),
            Ok(_) => Ok(Some(bytes)),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// The permission bits of a file. `None`: there is no such file. A link is not followed.
    pub fn mode(&self, name: &str) -> Result<Option<u32>, Error> {
        let path = self.file_path(name)?;
        match fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.st_mode & 0o7777)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::Read {
                path,
                source: errno.into(),
            }),
        }
    }

    /// Removes a file and returns when the removal is on disk. That there is none is fine.
    pub fn unlink(&self, name: &str) -> Result<Removed, Error> {
        let path = self.file_path(name)?;
        match fs::unlinkat(self, name, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(Removed::WasAbsent),
            Err(Errno::ISDIR) => return Err(Error::NotRegular { path }),
            Err(errno) => {
                return Err(Error::Unlink {
                    path,
                    source: errno.into(),
                });
            }
        }
        match fs::fsync(self) {
            Ok(()) => Ok(Removed::Yes),
            Err(errno) => Err(Error::Unlink {
                path,
                source: errno.into(),
            }),
        }
    }

    /// The names in the directory, sorted, without our temporary files and without names which
    /// are not UTF-8.
    pub fn list(&self) -> Result<Vec<String>, Error> {
        let mut names = self.entries()?;
        names.retain(|name| TempName::parse(name).is_none());
        Ok(names)
    }

    /// All names in the directory which are UTF-8, sorted.
    fn entries(&self) -> Result<Vec<String>, Error> {
        let error = |errno: Errno| Error::List {
            path: self.path.to_string(),
            source: errno.into(),
        };
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(self).map_err(error)? {
            let entry = entry.map_err(error)?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if !is_name(name) {
                continue;
            }
            if names.len() == ENTRIES_MAX {
                let path = self.path.to_string();
                return Err(Error::TooManyEntries {
                    path,
                    limit: ENTRIES_MAX,
                });
            }
            names.push(name.to_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The path of a file for messages, and the proof that the name is one.
    fn file_path(&self, name: &str) -> Result<String, Error> {
        if is_name(name) {
            Ok(format!("{}/{name}", self.path.trim_end_matches('/')))
        } else {
            Err(Error::InvalidName(name.to_owned()))
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether text can name an entry of a directory.
pub(crate) fn is_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && text.len() <= NAME_MAX && !text.contains(['/', '\0'])
}

#[cfg(test)]
mod tests;
