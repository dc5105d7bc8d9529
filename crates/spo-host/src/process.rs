//! What the kernel says of a process, by the files of `/proc/<pid>`.
//!
//! A process is opened once: whatever is read then is of that process, also if it ends and its
//! number is given to another. Reading takes no right for `stat` and `cgroup`, unless `/proc` is
//! mounted with `hidepid`: then CAP_SYS_PTRACE. The processes of the node are seen with `hostPID`.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};

/// Bytes that are read of a file. A path of a control group is below 4 KiB, and cgroup v1 has some
/// twenty of them.
const MOST: u64 = 64 * 1024;

/// A mounted `/proc`.
#[derive(Debug, Clone)]
pub struct Procfs {
    root: PathBuf,
}

/// A process, whether it still runs or not.
#[derive(Debug)]
pub struct Process(OwnedFd);

impl Procfs {
    /// The one that is mounted there.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Opens a process. Fails with `NotFound` if there is none.
    pub fn open(&self, pid: u32) -> io::Result<Process> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = self.root.join(pid.to_string());
        Ok(Process(rustix::fs::open(path, flags, Mode::empty())?))
    }
}

impl Process {
    /// The text of `stat`.
    pub fn stat(&self) -> io::Result<Vec<u8>> {
        self.read("stat")
    }

    /// The text of `cgroup`.
    pub fn cgroup(&self) -> io::Result<Vec<u8>> {
        self.read("cgroup")
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(&self.0, name, flags, Mode::empty())?;
        let mut text = Vec::new();
        std::fs::File::from(file)
            .take(MOST)
            .read_to_end(&mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_that_has_ended_is_never_another() {
        let procfs = Procfs::new(Path::new("/proc"));
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = procfs.open(child.id()).unwrap();
        let stat = process.stat().unwrap();
        assert!(stat.starts_with(format!("{} (", child.id()).as_bytes()));
        assert!(process.cgroup().unwrap().ends_with(b"\n"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.stat().is_err());
        assert!(process.cgroup().is_err());
    }

    #[test]
    fn no_process_is_not_found() {
        let found = Procfs::new(Path::new("/proc")).open(u32::MAX);
        assert_eq!(found.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
