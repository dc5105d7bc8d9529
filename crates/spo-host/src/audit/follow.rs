//! Follows a log file, line by line, across rotation.
//!
//! What log daemons do to their file: rename it and make another (auditd, logrotate's `create`),
//! copy and truncate it (`copytruncate`), delete it, start it late. A line which was begun is waited
//! for, one which has no end is cut. Nothing is polled: inotify(7) tells of writes to the file, and of
//! new names in its directory.
//!
//! Not noticed: a file that is truncated and has grown beyond the old position before it is read
//! again. Its lines up to that position are lost; gaps in the serial numbers tell.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// The longest line that is handed on whole. The kernel's records are below 9 KiB.
const LINE_MAX: usize = 64 * 1024;
/// Bytes which one read takes.
const CHUNK: usize = 256 * 1024;
/// Bytes of events which one read takes.
const EVENTS: usize = 4096;
/// How many rotated files are looked at for the one that was followed before.
const ROTATED_MAX: usize = 16;

/// Why a file can not be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No inotify instance or watch to be had: see `/proc/sys/fs/inotify`.
    #[error("cannot watch {path}")]
    Watch {
        /// Of the file or the directory.
        path: PathBuf,
        /// From inotify_init1(2), inotify_add_watch(2) or the runtime.
        source: io::Error,
    },
    /// It is there, and can not be read.
    #[error("cannot read {path}")]
    Read {
        /// Of the file.
        path: PathBuf,
        /// From open(2), fstat(2), lseek(2) or read(2).
        source: io::Error,
    },
}

/// How far a file was read: what a follower that starts later takes up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Device of the file.
    pub device: u64,
    /// Inode of the file.
    pub inode: u64,
    /// Bytes from its start, at the end of a line.
    pub offset: u64,
}

/// Where to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what is written from now on.
    End,
    /// Where another follower has ended, be it in a file that was rotated away since. Where that is
    /// not to be found any more, with what is written from now on.
    At(Position),
}

/// What one call of [`Follower::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Read {
    /// Lines handed on.
    pub lines: usize,
    /// Lines that were longer than any record: only their beginning was handed on.
    pub cut: usize,
    /// Whether the file was truncated, so that lines which were not read may have gone.
    pub truncated: bool,
}

/// A file that is followed.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    open: Option<Open>,
    /// Files which were rotated away and have not been read to their end, the oldest first.
    before: Vec<Open>,
    inotify: AsyncFd<OwnedFd>,
    /// The watch on the file that is open.
    watch: Option<i32>,
    chunk: Vec<u8>,
    /// A line whose end is not there yet.
    begun: Vec<u8>,
    /// The rest of a line that was cut.
    skipping: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    device: u64,
    inode: u64,
    /// Bytes read.
    offset: u64,
}

impl Follower {
    /// Starts. A file which is not there is waited for; its directory has to be there. Must be called
    /// within a tokio runtime which drives I/O.
    pub fn new(path: &Path, start: Start) -> Result<Self, Error> {
        let inotify = watch_directory(path).map_err(|source| Error::Watch {
            path: path.to_owned(),
            source,
        })?;
        let mut follower = Self {
            path: path.to_owned(),
            open: None,
            before: Vec::new(),
            inotify,
            watch: None,
            chunk: vec![0; CHUNK],
            begun: Vec::new(),
            skipping: false,
        };
        follower.reopen()?;
        follower.place(start)?;
        Ok(follower)
    }

    /// How far has been read; `None` while there is no file.
    pub fn position(&self) -> Option<Position> {
        let open = self.before.first().or(self.open.as_ref())?;
        let begun = u64::try_from(self.begun.len()).unwrap_or(u64::MAX);
        Some(Position {
            device: open.device,
            inode: open.inode,
            offset: open.offset.saturating_sub(begun),
        })
    }

    /// Waits for lines and hands on what is there, without the newlines; at most a chunk, so that
    /// others get their turn.
    ///
    /// Cancel-safe: a future which is dropped before it is ready has consumed nothing.
    pub async fn read(&mut self, mut line: impl FnMut(&[u8])) -> Result<Read, Error> {
        loop {
            let read = self.take(&mut line)?;
            if read != Read::default() {
                return Ok(read);
            }
            self.wait().await?;
        }
    }

    async fn wait(&mut self) -> Result<(), Error> {
        let path = self.path.clone();
        let failed = |source| Error::Watch { path, source };
        let mut ready = match self.inotify.readable().await {
            Ok(ready) => ready,
            Err(source) => return Err(failed(source)),
        };
        let drained = ready.try_io(|inotify| {
            let mut buffer = [MaybeUninit::uninit(); EVENTS];
            // What has happened does not matter: the file says what there is.
            let mut reader = inotify::Reader::new(inotify, &mut buffer);
            loop {
                reader.next()?;
            }
        });
        match drained {
            Ok(Err(source)) => {
                let source: io::Error = source;
                Err(failed(source))
            }
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Takes a chunk of the oldest file that has one.
    fn take(&mut self, line: &mut impl FnMut(&[u8])) -> Result<Read, Error> {
        let mut read = Read::default();
        loop {
            if let Some(old) = self.before.first_mut() {
                let length = fill(old, &mut self.chunk).map_err(|source| Error::Read {
                    path: self.path.clone(),
                    source,
                })?;
                if length > 0 {
                    self.lines(length, line, &mut read);
                    return Ok(read);
                }
                // What was begun there will not be ended any more.
                self.before.remove(0);
                self.forget_line();
                continue;
            }
            let truncated = self.rewind_if_truncated()?;
            read.truncated |= truncated;
            let length = match &mut self.open {
                Some(open) => fill(open, &mut self.chunk).map_err(|source| Error::Read {
                    path: self.path.clone(),
                    source,
                })?,
                None => 0,
            };
            if length > 0 {
                self.lines(length, line, &mut read);
                // A part of a line is no reason to return, nor to wait: there may be more.
                if read != Read::default() {
                    return Ok(read);
                }
                continue;
            }
            if !self.reopen()? {
                return Ok(read);
            }
        }
    }

    /// Splits what was read.
    fn lines(&mut self, length: usize, line: &mut impl FnMut(&[u8]), read: &mut Read) {
        let chunk = std::mem::take(&mut self.chunk);
        for part in chunk[..length].split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            if self.skipping {
                self.skipping = !ended;
                continue;
            }
            if self.begun.len() + text.len() > LINE_MAX {
                let room = LINE_MAX - self.begun.len();
                self.begun.extend_from_slice(&text[..room]);
                line(&self.begun);
                read.lines += 1;
                read.cut += 1;
                self.begun.clear();
                self.skipping = !ended;
            } else if !ended {
                self.begun.extend_from_slice(text);
            } else if self.begun.is_empty() {
                line(text);
                read.lines += 1;
            } else {
                self.begun.extend_from_slice(text);
                line(&self.begun);
                read.lines += 1;
                self.begun.clear();
            }
        }
        self.chunk = chunk;
    }

    fn forget_line(&mut self) {
        self.begun.clear();
        self.skipping = false;
    }

    fn rewind_if_truncated(&mut self) -> Result<bool, Error> {
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let failed = |source| Error::Read {
            path: self.path.clone(),
            source,
        };
        let length = open.file.metadata().map_err(failed)?.len();
        if length >= open.offset {
            return Ok(false);
        }
        open.file.rewind().map_err(failed)?;
        open.offset = 0;
        self.forget_line();
        Ok(true)
    }

    /// Opens what is under the name now, if it is another file than the one that is open. The old one
    /// may have been written to in between, so it is read to its end first.
    fn reopen(&mut self) -> Result<bool, Error> {
        let failed = |source| Error::Read {
            path: self.path.clone(),
            source,
        };
        let now = match fs::metadata(&self.path) {
            Ok(now) => now,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let same = |open: &Open| (open.device, open.inode) == (now.dev(), now.ino());
        if self.open.as_ref().is_some_and(same) {
            return Ok(false);
        }
        let opened = match Open::at(&self.path) {
            Ok(opened) => opened,
            // It was there a moment ago: its directory tells when it is again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        self.before.extend(self.open.replace(opened));
        self.rewatch()?;
        Ok(true)
    }

    /// Watches the file that is open, and no other.
    fn rewatch(&mut self) -> Result<(), Error> {
        if let Some(old) = self.watch.take() {
            // The kernel has removed it with its file, perhaps.
            let _gone = inotify::remove_watch(self.inotify.get_ref(), old);
        }
        match inotify::add_watch(self.inotify.get_ref(), &self.path, WatchFlags::MODIFY) {
            Ok(watch) => {
                self.watch = Some(watch);
                Ok(())
            }
            // The directory tells when there is one again.
            Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::Watch {
                path: self.path.clone(),
                source: errno.into(),
            }),
        }
    }

    fn place(&mut self, start: Start) -> Result<(), Error> {
        let failed = |source| Error::Read {
            path: self.path.clone(),
            source,
        };
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if let Start::At(position) = start {
            if (open.device, open.inode) == (position.device, position.inode) {
                // A file that is shorter was truncated: it is read from its start.
                return open.go_to(SeekFrom::Start(position.offset)).map_err(failed);
            }
            if let Some(mut old) = rotated(&self.path, position).map_err(failed)? {
                old.go_to(SeekFrom::Start(position.offset))
                    .map_err(failed)?;
                self.before.push(old);
                return Ok(());
            }
        }
        open.go_to(SeekFrom::End(0)).map_err(failed)
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            file,
            offset: 0,
        })
    }

    fn go_to(&mut self, place: SeekFrom) -> io::Result<()> {
        self.offset = self.file.seek(place)?;
        Ok(())
    }
}

fn fill(open: &mut Open, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match open.file.read(chunk) {
            Ok(length) => {
                open.offset += u64::try_from(length).unwrap_or(u64::MAX);
                return Ok(length);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The file of `position`, under one of the names which rotation gives: `NAME.1`, `NAME-20261121`.
fn rotated(path: &Path, position: Position) -> io::Result<Option<Open>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    let mut seen = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let other = entry.file_name();
        let other = other.as_encoded_bytes();
        let renamed = other.strip_prefix(name.as_encoded_bytes());
        if !renamed.is_some_and(|rest| rest.starts_with(b".") || rest.starts_with(b"-")) {
            continue;
        }
        seen += 1;
        if seen > ROTATED_MAX {
            break;
        }
        let metadata = entry.metadata()?;
        if metadata.is_file()
            && (metadata.dev(), metadata.ino()) == (position.device, position.inode)
        {
            return Open::at(&entry.path()).map(Some);
        }
    }
    Ok(None)
}

fn watch_directory(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(
        &inotify,
        directory,
        WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR,
    )?;
    #[expect(
        deprecated,
        reason = "`new` is unsound for a type whose descriptor changes or closes early, and its \
                  replacement is unsafe; an OwnedFd keeps its descriptor until it is dropped"
    )]
    AsyncFd::new(inotify)
}

#[cfg(test)]
mod tests;
