//! The rest of the node, for somebody who looks for what is wrong: kernel, modules, directories.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustix::fs::{Access, access};

/// Longest file that is read; all of them are a line or two.
const SIZE_MAX: u64 = 64 << 10;

/// What stands where a directory is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing, or nothing that this process may see.
    Absent,
    /// Something else.
    NoDirectory,
    /// A directory in which this process may not write.
    ReadOnly,
    /// A directory in which it may.
    Writable,
}

/// What stands at a path.
pub fn place(path: &Path) -> Place {
    match path.metadata() {
        Err(_absent) => Place::Absent,
        Ok(metadata) if !metadata.is_dir() => Place::NoDirectory,
        Ok(_) if access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok() => Place::Writable,
        Ok(_) => Place::ReadOnly,
    }
}

/// The user that this process runs as.
pub fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The release of the running kernel. `proc` is where procfs is, `/proc`.
pub fn kernel(proc: &Path) -> Option<String> {
    line(&proc.join("sys/kernel/osrelease"))
}

/// The security modules of the running kernel, in the order in which they are asked, with commas
/// between. `sys` is where sysfs is, `/sys`; `None` without a securityfs in it.
pub fn security_modules(sys: &Path) -> Option<String> {
    line(&sys.join("kernel/security/lsm"))
}

fn line(path: &Path) -> Option<String> {
    let bytes = content(path)?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.lines().next()?.trim().to_owned())
}

/// The content of a small file, if it can be read.
pub fn content(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(SIZE_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a host has on disk, it has from others"
)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn directories_are_told_from_the_rest() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        assert_eq!(place(root.path()), Place::Writable);
        assert_eq!(place(&root.path().join("file")), Place::NoDirectory);
        assert_eq!(place(&root.path().join("none")), Place::Absent);
        let closed = root.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
        let expected = match user() {
            0 => Place::Writable,
            _ => Place::ReadOnly,
        };
        assert_eq!(place(&closed), expected);
    }

    #[test]
    fn the_running_kernel_has_a_release() {
        let release = kernel(Path::new("/proc")).unwrap();
        assert!(
            release.starts_with(|c: char| c.is_ascii_digit()),
            "{release}"
        );
        assert_eq!(kernel(Path::new("/nowhere")), None);
    }

    #[test]
    fn modules_are_a_line() {
        let sys = tempfile::tempdir().unwrap();
        assert_eq!(security_modules(sys.path()), None);
        let security = sys.path().join("kernel/security");
        std::fs::create_dir_all(&security).unwrap();
        std::fs::write(security.join("lsm"), "capability,yama,selinux\n").unwrap();
        assert_eq!(
            security_modules(sys.path()).as_deref(),
            Some("capability,yama,selinux")
        );
    }
}
