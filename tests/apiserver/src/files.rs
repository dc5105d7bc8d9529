//! The operator directory of a node, as somebody on the node sees it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use spo_api::name::ProfileName;
use spo_profile::layout;

/// The operator directory under a node root.
pub fn directory(root: &Path) -> PathBuf {
    root.join("var/lib/kubelet/seccomp/operator")
}

/// The file of a profile in the operator directory.
pub fn of_profile(root: &Path, profile: &str) -> PathBuf {
    directory(root).join(layout::seccomp_file(&ProfileName::parse(profile).unwrap()).unwrap())
}

/// What tells whether a file was written again: the inode, the time of the last change, the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    changed: SystemTime,
    mode: u32,
}

/// The stamp of a regular file, `None` for anything else.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::symlink_metadata(path).ok()?;
    data.is_file().then(|| Stamp {
        inode: data.ino(),
        changed: data.modified().unwrap(),
        mode: data.permissions().mode() & 0o7777,
    })
}

/// Whether a file is there, is regular, readable by everyone, and has this content. Else what is.
pub fn check(path: &Path, expected: &[u8]) -> Result<(), String> {
    let Ok(data) = std::fs::symlink_metadata(path) else {
        return Err(format!("{} is absent", path.display()));
    };
    let mode = data.permissions().mode() & 0o7777;
    if !data.is_file() || mode != 0o644 {
        return Err(format!(
            "{} is {:?} with mode {mode:o}",
            path.display(),
            data.file_type()
        ));
    }
    let found = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if found == expected {
        return Ok(());
    }
    let found = String::from_utf8_lossy(&found).into_owned();
    let expected = String::from_utf8_lossy(expected);
    Err(format!(
        "{} is\n  {found}\nand not\n  {expected}",
        path.display()
    ))
}

/// The names in a directory, sorted; none if there is no directory.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}
