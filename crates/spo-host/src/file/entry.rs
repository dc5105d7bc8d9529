//! What stands in a directory of the node, and whose it is: for setting a node up.
//!
//! An entry is looked at and changed itself, never what it links to. Owners of others take
//! CAP_CHOWN, modes of what others own CAP_FOWNER.

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

use crate::file::{Dir, Error, Removed};

/// Whom something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What stands at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A regular file.
    File {
        /// Whose it is.
        owner: Owner,
        /// Whether this is its only name; another could be in a directory of somebody else.
        only_name: bool,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Link {
        /// Where to, as far as it is UTF-8.
        target: String,
    },
    /// A FIFO, socket or device.
    Other,
}

impl Dir {
    /// What stands at a name. `None`: nothing.
    pub fn entry(&self, name: &str) -> Result<Option<Entry>, Error> {
        let path = self.file_path(name)?;
        let found = || {
            let stat = fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Entry::File {
                    owner: owner(&stat),
                    only_name: stat.st_nlink == 1,
                },
                FileType::Directory => Entry::Directory,
                FileType::Symlink => {
                    let target = fs::readlinkat(self, name, Vec::new())?;
                    let target = target.to_string_lossy().into_owned();
                    Entry::Link { target }
                }
                FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => Entry::Other,
            })
        };
        match found() {
            Ok(entry) => Ok(Some(entry)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(read_error(path, errno)),
        }
    }

    /// Whether this is the same directory as another, whatever their paths.
    pub fn is_same(&self, other: &Self) -> Result<bool, Error> {
        let (own, other) = (self.stat()?, other.stat()?);
        Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
    }

    /// Whose the directory is.
    pub fn owner(&self) -> Result<Owner, Error> {
        Ok(owner(&self.stat()?))
    }

    /// The permission bits of the directory.
    pub fn own_mode(&self) -> Result<u32, Error> {
        Ok(self.stat()?.st_mode & 0o7777)
    }

    /// Changes the permission bits of the directory.
    pub fn set_own_mode(&self, mode: u32) -> Result<(), Error> {
        fs::fchmod(self, Mode::from_raw_mode(mode))
            .map_err(|errno| change_error(self.path.to_string(), errno))
    }

    /// Gives the directory to somebody.
    pub fn set_owner(&self, owner: Owner) -> Result<(), Error> {
        fs::fchown(
            self,
            Some(Uid::from_raw(owner.uid)),
            Some(Gid::from_raw(owner.gid)),
        )
        .map_err(|errno| change_error(self.path.to_string(), errno))
    }

    /// Gives a regular file to somebody. One with several names is refused: whoever may write to
    /// this directory could have made a name of somebody else's file in it.
    pub fn set_file_owner(&self, name: &str, owner: Owner) -> Result<(), Error> {
        let path = self.file_path(name)?;
        // What is looked at is what is given away, whatever stands at the name by then.
        let fd = fs::openat2(
            self,
            name,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH,
        );
        let found = fd.and_then(|fd| fs::fstat(&fd).map(|stat| (fd, stat)));
        let (fd, stat) = match found {
            Ok(found) => found,
            Err(errno) => return Err(change_error(path, errno)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if stat.st_nlink == 1 => {}
            FileType::RegularFile => return Err(Error::SeveralNames { path }),
            FileType::Symlink => return Err(Error::Symlink { path }),
            _ => return Err(Error::NotRegular { path }),
        }
        fs::chownat(
            &fd,
            "",
            Some(Uid::from_raw(owner.uid)),
            Some(Gid::from_raw(owner.gid)),
            AtFlags::EMPTY_PATH,
        )
        .map_err(|errno| change_error(path, errno))
    }

    /// Makes a symbolic link and returns when it is on disk. What stands at the name stays, and
    /// is an error.
    pub fn link(&self, name: &str, target: &str) -> Result<(), Error> {
        let path = self.file_path(name)?;
        fs::symlinkat(target, self, name)
            .and_then(|()| fs::fsync(self))
            .map_err(|errno| Error::Write {
                path,
                source: errno.into(),
            })
    }

    /// Removes a directory which is empty. That there is none is fine.
    pub fn remove_dir(&self, name: &str) -> Result<Removed, Error> {
        let path = self.file_path(name)?;
        match fs::unlinkat(self, name, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(Removed::Yes),
            Err(Errno::NOENT) => Ok(Removed::WasAbsent),
            Err(errno) => Err(Error::Unlink {
                path,
                source: errno.into(),
            }),
        }
    }

    fn stat(&self) -> Result<Stat, Error> {
        fs::fstat(self).map_err(|errno| read_error(self.path.to_string(), errno))
    }
}

fn owner(stat: &Stat) -> Owner {
    Owner {
        uid: stat.st_uid,
        gid: stat.st_gid,
    }
}

fn read_error(path: String, errno: Errno) -> Error {
    Error::Read {
        path,
        source: errno.into(),
    }
}

fn change_error(path: String, errno: Errno) -> Error {
    Error::Change {
        path,
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests;
