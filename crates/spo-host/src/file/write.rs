//! Write whole files: a temporary file in the same directory, fsync, rename, fsync the directory.
//!
//! A reader, and whoever looks after a crash, sees the old file or the new one.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::SystemTime;

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::file::temp::TempName;
use crate::file::{Dir, Error};

/// How many temporary files of a batch are open at the same time.
const OPEN_MAX: usize = 128;

/// How many threads of a batch wait for the disk. A journal commits at once what several threads
/// wait for: on ext4 and a busy disk, 100 new files took 30 to 100 ms like this, and 110 to 290 ms
/// in one thread.
const THREADS: usize = 8;

/// Why no lock is ever seen poisoned.
const UNPOISONED: &str = "nothing panics while it holds the lock";

/// The serials which this process gives to its temporary files.
static SERIALS: LazyLock<Serials> = LazyLock::new(Serials::new);

struct Serials {
    first: u64,
    next: AtomicU64,
}

impl Serials {
    fn new() -> Self {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        // Nanoseconds fill 64 bits in the year 2554; what matters is that they differ.
        let first = now.as_nanos() as u64;
        Self {
            first,
            next: AtomicU64::new(first),
        }
    }

    fn take(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn holds(&self, serial: u64) -> bool {
        (self.first..self.next.load(Ordering::Relaxed)).contains(&serial)
    }
}

/// A temporary file, removed when dropped before [`Temp::rename`].
struct Temp<'a> {
    dir: &'a Dir,
    name: Option<String>,
    file: File,
}

impl Dir {
    /// Writes a file whole or not at all, and returns when it is on disk.
    ///
    /// The mode does not depend on the umask. A symbolic link with that name is replaced, not
    /// followed.
    pub fn write_atomic(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), Error> {
        let path = self.file_path(name)?;
        let written = || {
            Temp::write(self, bytes, mode)?.rename(name)?;
            Ok(fs::fsync(self)?)
        };
        written().map_err(|source| write_error(path, source))
    }

    /// Writes many files with one mode, each whole or not at all, and syncs the directory once. The
    /// results are in the order of `files`. Of two files with one name either may stay.
    pub fn write_batch(&self, files: &[(String, Vec<u8>)], mode: u32) -> Vec<Result<(), Error>> {
        let mut results = Vec::with_capacity(files.len());
        for files in files.chunks(OPEN_MAX) {
            // All are written before the first one is waited for: one commit serves many.
            let temps: Vec<_> = files
                .iter()
                .map(|(_, bytes)| Temp::write(self, bytes, mode))
                .collect();
            results.extend(in_threads(files.iter().zip(temps), |((name, _), temp)| {
                let path = self.file_path(name)?;
                temp.and_then(|temp| temp.rename(name))
                    .map_err(|source| write_error(path, source))
            }));
        }
        if let Err(errno) = fs::fsync(self) {
            for (result, (name, _)) in results.iter_mut().zip(files) {
                if result.is_ok() {
                    *result = self.file_path(name).and_then(|path| {
                        Err(Error::Write {
                            path,
                            source: errno.into(),
                        })
                    });
                }
            }
        }
        results
    }

    /// Removes temporary files which a killed process left, and returns how many.
    ///
    /// One process at a time writes to a directory of the node, so that every temporary file
    /// which is not one of ours in flight was left behind. Were it in use after all, its writer
    /// would get an error from the rename and try again.
    pub fn remove_stale_temps(&self) -> Result<usize, Error> {
        let own = std::process::id();
        let mut removed = 0;
        for name in self.entries()? {
            let Some(temp) = TempName::parse(&name) else {
                continue;
            };
            if temp.pid == own && SERIALS.holds(temp.serial) {
                continue;
            }
            match fs::unlinkat(self, name.as_str(), AtFlags::empty()) {
                Ok(()) => removed += 1,
                Err(Errno::NOENT) => {}
                Err(errno) => {
                    let path = self.file_path(&name)?;
                    return Err(Error::Unlink {
                        path,
                        source: errno.into(),
                    });
                }
            }
        }
        Ok(removed)
    }
}

impl<'a> Temp<'a> {
    /// Writes a temporary file, without waiting for the disk.
    fn write(dir: &'a Dir, bytes: &[u8], mode: u32) -> io::Result<Self> {
        let name = TempName {
            pid: std::process::id(),
            serial: SERIALS.take(),
        }
        .to_string();
        let fd = fs::openat2(
            dir,
            name.as_str(),
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )?;
        let mut temp = Self {
            dir,
            name: Some(name),
            file: File::from(fd),
        };
        temp.file.write_all(bytes)?;
        fs::fchmod(&temp.file, Mode::from_raw_mode(mode))?;
        Ok(temp)
    }

    /// Gives the file its name, once it is on disk.
    fn rename(mut self, to: &str) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(from) = &self.name {
            fs::renameat(self.dir, from.as_str(), self.dir, to)?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // The write has already failed and says why; what stays is a stale temporary file.
            fs::unlinkat(self.dir, name.as_str(), AtFlags::empty()).ok();
        }
    }
}

/// Applies `act` to each item, in several threads, and returns the results in order.
///
/// The calling thread takes its share: where no other thread can be had, it does all.
fn in_threads<T: Send, R: Send>(
    items: impl ExactSizeIterator<Item = T> + Send,
    act: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let threads = THREADS.min(items.len());
    let queue = Mutex::new(items.enumerate());
    let results = Mutex::new(Vec::new());
    let work = || {
        let next = || queue.lock().expect(UNPOISONED).next();
        while let Some((index, item)) = next() {
            let result = act(item);
            results.lock().expect(UNPOISONED).push((index, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    let mut results = results.into_inner().expect(UNPOISONED);
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn write_error(path: String, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::IsADirectory => Error::NotRegular { path },
        _ => Error::Write { path, source },
    }
}
