//! DirWatch: what others change in one directory of the node, by inotify(7).

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::fs;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use crate::file::Dir;
use crate::file::temp::TempName;

/// A change which a [`DirWatch`] saw.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A file of this name was written, replaced, removed, or got another mode.
    File(String),
    /// The kernel dropped events: anything may have changed.
    Overflow,
    /// The directory was removed, moved or unmounted: no more events will come.
    DirectoryGone,
}

/// Why a directory can not be watched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No inotify instance or watch to be had: see `/proc/sys/fs/inotify`.
    #[error("cannot watch {path}")]
    Start {
        /// Of the directory.
        path: String,
        /// From inotify_init1(2), inotify_add_watch(2) or the runtime.
        source: io::Error,
    },
    /// The events can not be read.
    #[error("cannot read changes of {path}")]
    Read {
        /// Of the directory.
        path: String,
        /// From read(2).
        source: io::Error,
    },
}

/// A stream of the changes in one directory.
///
/// The directory itself is watched, not its path: when a link in the path is turned elsewhere, or
/// a directory above is moved, nothing is reported. Our own writes are reported like everyone's;
/// only the temporary files are left out.
#[derive(Debug)]
pub struct DirWatch {
    dir: Dir,
    inotify: AsyncFd<OwnedFd>,
    check_at: Instant,
}

/// How long it may take until the removal of the directory is noticed. As long as somebody holds
/// the directory open, and we do, inotify does not report IN_DELETE_SELF; the link count tells.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Bytes of events which one read takes: at least some 60 with names of the greatest length.
const BUFFER: usize = 16 * 1024;

impl DirWatch {
    /// Starts to watch. Must be called within a tokio runtime which drives I/O and time.
    pub fn new(dir: &Dir) -> Result<Self, Error> {
        match start(dir) {
            Ok(inotify) => Ok(Self {
                dir: dir.clone(),
                inotify,
                check_at: Instant::now() + CHECK_INTERVAL,
            }),
            Err(source) => Err(Error::Start {
                path: dir.path().to_owned(),
                source,
            }),
        }
    }

    /// Waits for changes and returns those which are there, each once, sorted. Never empty.
    ///
    /// Cancel-safe: a future which is dropped before it is ready has consumed nothing.
    pub async fn next(&mut self) -> Result<Vec<Change>, Error> {
        loop {
            let changes = match timeout_at(self.check_at, self.inotify.readable()).await {
                Ok(Ok(mut ready)) => match ready.try_io(|inotify| read(inotify.get_ref())) {
                    Ok(changes) => changes,
                    Err(_would_block) => continue,
                },
                Ok(Err(source)) => Err(source),
                Err(_elapsed) => {
                    self.check_at = Instant::now() + CHECK_INTERVAL;
                    gone(&self.dir)
                }
            };
            match changes {
                Ok(changes) if changes.is_empty() => {}
                Ok(changes) => return Ok(changes.into_iter().collect()),
                Err(source) => {
                    return Err(Error::Read {
                        path: self.dir.path().to_owned(),
                        source,
                    });
                }
            }
        }
    }
}

fn start(dir: &Dir) -> io::Result<AsyncFd<OwnedFd>> {
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    // The path which leads to an open directory, whatever happened to its name since.
    let path = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
    let events = WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    inotify::add_watch(&inotify, path, events)?;
    #[expect(
        deprecated,
        reason = "`new` is unsound for a type whose descriptor changes or closes early, and its \
                  replacement is unsafe; an OwnedFd keeps its descriptor until it is dropped"
    )]
    AsyncFd::new(inotify)
}

/// Reads what one read gives. May be empty: then only temporary files of ours changed.
fn read(inotify: &OwnedFd) -> io::Result<BTreeSet<Change>> {
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    let mut changes = BTreeSet::new();
    loop {
        let event = reader.next()?;
        changes.extend(change(event.events(), event.file_name()));
        if reader.is_buffer_empty() {
            return Ok(changes);
        }
    }
}

fn change(events: ReadFlags, name: Option<&CStr>) -> Option<Change> {
    let end = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
    if events.contains(ReadFlags::QUEUE_OVERFLOW) {
        return Some(Change::Overflow);
    }
    if events.intersects(end | ReadFlags::IGNORED) {
        return Some(Change::DirectoryGone);
    }
    // Without a name it is the mode of the directory. A name which is not UTF-8 is not ours.
    let name = name?.to_str().ok()?;
    TempName::parse(name)
        .is_none()
        .then(|| Change::File(name.to_owned()))
}

/// Whether the directory was removed while it is open.
fn gone(dir: &Dir) -> io::Result<BTreeSet<Change>> {
    let removed = fs::fstat(dir)?.st_nlink == 0;
    Ok(removed
        .then_some(Change::DirectoryGone)
        .into_iter()
        .collect())
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, remove_dir, remove_file, rename, set_permissions};
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;
    use crate::file::FILE_MODE;
    use crate::root::{CreateDirs, NodeRoot};

    fn directory() -> (TempDir, PathBuf, Dir) {
        let outer = tempfile::tempdir().unwrap();
        create_dir(outer.path().join("dir")).unwrap();
        let path = outer.path().join("dir");
        let dir = NodeRoot::open(outer.path())
            .unwrap()
            .dir("dir", CreateDirs::Never)
            .unwrap();
        (outer, path, dir)
    }

    async fn next(watch: &mut DirWatch) -> Vec<Change> {
        let wait = timeout(Duration::from_secs(20), watch.next());
        wait.await.expect("a change within 20 s").unwrap()
    }

    async fn is_quiet(watch: &mut DirWatch) -> bool {
        timeout(Duration::from_millis(50), watch.next())
            .await
            .is_err()
    }

    fn file(name: &str) -> Vec<Change> {
        vec![Change::File(name.to_owned())]
    }

    #[tokio::test]
    async fn every_way_to_change_a_file_is_seen() {
        let (outer, path, dir) = directory();
        dir.write_atomic("a", b"1", FILE_MODE).unwrap();
        let mut watch = DirWatch::new(&dir).unwrap();
        assert!(is_quiet(&mut watch).await);

        std::fs::File::create(path.join("a"))
            .unwrap()
            .write_all(b"2")
            .unwrap();
        assert_eq!(next(&mut watch).await, file("a"));
        set_permissions(path.join("a"), Permissions::from_mode(0o600)).unwrap();
        assert_eq!(next(&mut watch).await, file("a"));
        rename(path.join("a"), outer.path().join("a")).unwrap();
        assert_eq!(next(&mut watch).await, file("a"));
        rename(outer.path().join("a"), path.join("a")).unwrap();
        assert_eq!(next(&mut watch).await, file("a"));
        remove_file(path.join("a")).unwrap();
        assert_eq!(next(&mut watch).await, file("a"));
        dir.write_atomic("a", b"3", FILE_MODE).unwrap();
        assert_eq!(next(&mut watch).await, file("a"));
        assert!(is_quiet(&mut watch).await);
    }

    #[tokio::test]
    async fn changes_come_together_once_and_sorted() {
        let (_outer, path, dir) = directory();
        let mut watch = DirWatch::new(&dir).unwrap();
        for name in ["b", "a", "b", &"c".repeat(255)] {
            dir.write_atomic(name, b"1", FILE_MODE).unwrap();
        }
        // A name which is not one of ours changes nothing.
        std::fs::File::create(path.join(".spo-1-1.tmp")).unwrap();
        let expected = ["a", "b", &"c".repeat(255)].map(|name| Change::File(name.to_owned()));
        assert_eq!(next(&mut watch).await, expected);
        assert!(is_quiet(&mut watch).await);
    }

    #[tokio::test]
    async fn a_dropped_future_loses_nothing() {
        let (_outer, _path, dir) = directory();
        let mut watch = DirWatch::new(&dir).unwrap();
        assert!(is_quiet(&mut watch).await);
        dir.write_atomic("a", b"1", FILE_MODE).unwrap();
        assert_eq!(next(&mut watch).await, file("a"));
    }

    #[tokio::test]
    async fn a_moved_directory_is_gone() {
        let (outer, path, dir) = directory();
        let mut watch = DirWatch::new(&dir).unwrap();
        rename(path, outer.path().join("elsewhere")).unwrap();
        assert_eq!(next(&mut watch).await, [Change::DirectoryGone]);
    }

    /// The time is the runtime's: it jumps to the next check.
    #[tokio::test(start_paused = true)]
    async fn a_removed_directory_is_gone_though_it_is_held_open() {
        let (_outer, path, dir) = directory();
        let mut watch = DirWatch::new(&dir).unwrap();
        remove_dir(path).unwrap();
        assert_eq!(next(&mut watch).await, [Change::DirectoryGone]);
        assert_eq!(next(&mut watch).await, [Change::DirectoryGone]);
    }

    #[tokio::test]
    async fn a_change_of_the_directory_itself_is_not_one_of_a_file() {
        let (_outer, path, dir) = directory();
        let mut watch = DirWatch::new(&dir).unwrap();
        set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        assert!(is_quiet(&mut watch).await);
    }

    #[tokio::test]
    async fn lost_events_are_reported() {
        let (_outer, path, dir) = directory();
        let queue = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let queue: usize = queue.trim().parse().unwrap();
        for name in ["a", "b"] {
            dir.write_atomic(name, b"", FILE_MODE).unwrap();
        }
        let mut watch = DirWatch::new(&dir).unwrap();
        // Two names in turn, because the kernel joins an event with its equal predecessor.
        for turn in 0..=queue {
            let name = ["a", "b"][turn % 2];
            set_permissions(path.join(name), Permissions::from_mode(FILE_MODE)).unwrap();
        }
        let mut seen = BTreeSet::new();
        while !seen.contains(&Change::Overflow) {
            seen.extend(next(&mut watch).await);
        }
        dir.write_atomic("c", b"", FILE_MODE).unwrap();
        assert_eq!(next(&mut watch).await, file("c"));
    }
}
