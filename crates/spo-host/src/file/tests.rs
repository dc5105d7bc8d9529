//! Files of a directory, with whatever else may stand in their place.

use std::fs::{Permissions, create_dir, hard_link, metadata, set_permissions, symlink_metadata};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::root::{CreateDirs, NodeRoot};

/// A directory with a sibling file `secret` which nothing may reach.
fn directory() -> (TempDir, PathBuf, Dir) {
    let outer = tempfile::tempdir().unwrap();
    create_dir(outer.path().join("dir")).unwrap();
    let root = NodeRoot::open(outer.path()).unwrap();
    let top = root.dir("", CreateDirs::Never).unwrap();
    top.write_atomic("secret", b"secret", 0o600).unwrap();
    let path = outer.path().join("dir");
    (outer, path, root.dir("dir", CreateDirs::Never).unwrap())
}

fn mkfifo(path: &Path) {
    fs::mknodat(fs::CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

fn names(path: &Path) -> Vec<String> {
    let names = path
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_read() {
    let (_outer, path, dir) = directory();
    dir.write_atomic("web.json", b"one", FILE_MODE).unwrap();
    dir.write_atomic("web.json", b"two", FILE_MODE).unwrap();
    assert_eq!(
        dir.read("web.json", 3).unwrap().as_deref(),
        Some(b"two".as_slice())
    );
    assert_eq!(dir.read("absent", 3).unwrap(), None);
    assert_eq!(names(&path), ["web.json"]);
}

#[test]
fn the_mode_does_not_depend_on_the_umask() {
    let (_outer, path, dir) = directory();
    dir.write_atomic("a", b"", 0o666).unwrap();
    dir.write_atomic("b", b"", FILE_MODE).unwrap();
    dir.write_batch(&[("c".to_owned(), Vec::new())], FILE_MODE)
        .pop()
        .unwrap()
        .unwrap();
    for (name, mode) in [("a", 0o666), ("b", 0o644), ("c", 0o644)] {
        assert_eq!(
            metadata(path.join(name)).unwrap().permissions().mode() & 0o7777,
            mode
        );
    }
}

#[test]
fn the_mode_is_the_one_of_the_link_itself() {
    let (_outer, path, dir) = directory();
    symlink("../secret", path.join("link")).unwrap();
    dir.write_atomic("a", b"", 0o640).unwrap();
    let modes = ["a", "link", "absent"].map(|name| dir.mode(name).unwrap());
    assert_eq!(modes, [Some(0o640), Some(0o777), None]);
}

#[test]
fn the_limit_is_exact() {
    let (_outer, _path, dir) = directory();
    dir.write_atomic("a", b"1234", FILE_MODE).unwrap();
    assert!(dir.read("a", 4).is_ok());
    let error = dir.read("a", 3).unwrap_err();
    assert!(matches!(error, Error::TooBig { limit: 3, .. }));
    assert_eq!(error.to_string(), "/dir/a is bigger than 3 bytes");
}

#[test]
fn names_are_one_part_of_a_path() {
    let (_outer, _path, dir) = directory();
    let long = "a".repeat(256);
    for name in ["", ".", "..", "a/b", "/a", "../secret", "a\0", &long] {
        assert!(
            matches!(dir.read(name, 9), Err(Error::InvalidName(_))),
            "{name:?}"
        );
        let written = dir.write_atomic(name, b"", FILE_MODE);
        assert!(matches!(written, Err(Error::InvalidName(_))), "{name:?}");
        assert!(
            matches!(dir.unlink(name), Err(Error::InvalidName(_))),
            "{name:?}"
        );
        let batch = dir.write_batch(&[(name.to_owned(), Vec::new())], FILE_MODE);
        assert!(
            matches!(batch[..], [Err(Error::InvalidName(_))]),
            "{name:?}"
        );
    }
    assert!(dir.list().unwrap().is_empty());
}

#[test]
fn the_longest_name_works() {
    let (_outer, path, dir) = directory();
    let name = "a".repeat(255);
    dir.write_atomic(&name, b"x", FILE_MODE).unwrap();
    assert_eq!(
        dir.read(&name, 1).unwrap().as_deref(),
        Some(b"x".as_slice())
    );
    assert_eq!(names(&path), std::slice::from_ref(&name));
    assert_eq!(dir.unlink(&name).unwrap(), Removed::Yes);
    assert_eq!(dir.unlink(&name).unwrap(), Removed::WasAbsent);
}

#[test]
fn links_are_neither_read_nor_written_through() {
    let (outer, path, dir) = directory();
    for (name, target) in [
        ("up", "../secret"),
        ("self", "self"),
        ("proc", "/proc/self/exe"),
    ] {
        symlink(target, path.join(name)).unwrap();
        assert!(
            matches!(dir.read(name, 99), Err(Error::Symlink { .. })),
            "{name}"
        );
        dir.write_atomic(name, b"own", FILE_MODE).unwrap();
        assert!(
            symlink_metadata(path.join(name)).unwrap().is_file(),
            "{name}"
        );
    }
    let top = NodeRoot::open(outer.path())
        .unwrap()
        .dir("", CreateDirs::Never)
        .unwrap();
    assert_eq!(
        top.read("secret", 9).unwrap().as_deref(),
        Some(b"secret".as_slice())
    );
    symlink("../secret", path.join("again")).unwrap();
    assert_eq!(dir.unlink("again").unwrap(), Removed::Yes);
    assert!(outer.path().join("secret").exists());
}

#[test]
fn a_hard_link_is_replaced_and_its_other_name_untouched() {
    let (outer, path, dir) = directory();
    hard_link(outer.path().join("secret"), path.join("a")).unwrap();
    dir.write_atomic("a", b"own", FILE_MODE).unwrap();
    let top = NodeRoot::open(outer.path())
        .unwrap()
        .dir("", CreateDirs::Never)
        .unwrap();
    assert_eq!(
        top.read("secret", 9).unwrap().as_deref(),
        Some(b"secret".as_slice())
    );
}

#[test]
fn what_is_no_regular_file_is_not_read() {
    let (_outer, path, dir) = directory();
    mkfifo(&path.join("fifo"));
    let _listener = UnixListener::bind(path.join("socket")).unwrap();
    create_dir(path.join("directory")).unwrap();
    for name in ["fifo", "socket", "directory"] {
        assert!(
            matches!(dir.read(name, 9), Err(Error::NotRegular { .. })),
            "{name}"
        );
    }
    for name in ["fifo", "socket"] {
        dir.write_atomic(name, b"own", FILE_MODE).unwrap();
        assert!(
            symlink_metadata(path.join(name)).unwrap().is_file(),
            "{name}"
        );
    }
    // A directory is not ours to remove.
    let error = dir
        .write_atomic("directory", b"own", FILE_MODE)
        .unwrap_err();
    assert_eq!(error.to_string(), "/dir/directory is not a regular file");
    assert!(matches!(
        dir.unlink("directory"),
        Err(Error::NotRegular { .. })
    ));
    assert_eq!(names(&path), ["directory", "fifo", "socket"]);
}

#[test]
fn a_batch_is_as_good_as_its_files() {
    let (_outer, path, dir) = directory();
    create_dir(path.join("b")).unwrap();
    let file = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    let results = dir.write_batch(
        &[
            file("a", "1"),
            file("b", "2"),
            file("../c", "3"),
            file("d", "4"),
        ],
        FILE_MODE,
    );
    assert!(matches!(
        results[..],
        [
            Ok(()),
            Err(Error::NotRegular { .. }),
            Err(Error::InvalidName(_)),
            Ok(())
        ]
    ));
    assert_eq!(dir.read("a", 9).unwrap().as_deref(), Some(b"1".as_slice()));
    assert_eq!(names(&path), ["a", "b", "d"]);
    assert!(dir.write_batch(&[], FILE_MODE).is_empty());
}

#[test]
fn a_big_batch_leaves_nothing_behind() {
    let (_outer, path, dir) = directory();
    let files: Vec<_> = (0..300)
        .map(|n| (format!("{n:03}"), vec![b'x'; 4096]))
        .collect();
    assert!(dir.write_batch(&files, FILE_MODE).iter().all(Result::is_ok));
    assert_eq!(names(&path).len(), 300);
    assert_eq!(dir.list().unwrap(), names(&path));
}

#[test]
fn a_directory_which_is_not_writable_is_reported() {
    // Not even root makes files here.
    let dir = NodeRoot::open(Path::new("/sys"))
        .unwrap()
        .dir("kernel", CreateDirs::Never)
        .unwrap();
    let error = dir.write_atomic("web.json", b"{}", FILE_MODE).unwrap_err();
    assert!(matches!(error, Error::Write { .. }));
    assert_eq!(error.to_string(), "cannot write /kernel/web.json");
    let results = dir.write_batch(&[("web.json".to_owned(), Vec::new())], FILE_MODE);
    assert!(
        matches!(results[..], [Err(Error::Write { .. })]),
        "{results:?}"
    );
}

#[test]
fn a_removed_directory_is_reported() {
    let (_outer, path, dir) = directory();
    std::fs::remove_dir(&path).unwrap();
    assert!(matches!(
        dir.write_atomic("a", b"", FILE_MODE),
        Err(Error::Write { .. })
    ));
    assert_eq!(dir.read("a", 0).unwrap(), None);
    assert_eq!(dir.unlink("a").unwrap(), Removed::WasAbsent);
    assert!(dir.list().unwrap().is_empty());
}

#[test]
fn an_unreadable_file_is_reported() {
    let (_outer, path, dir) = directory();
    // Root reads every file; so the kernel itself has to fail.
    let own = NodeRoot::open(Path::new("/proc")).unwrap();
    let dir_of_kernel = own.dir("sys/vm", CreateDirs::Never).unwrap();
    assert!(matches!(
        dir_of_kernel.read("compact_memory", 9),
        Err(Error::Read { .. })
    ));
    if !rustix::process::geteuid().is_root() {
        dir.write_atomic("a", b"", FILE_MODE).unwrap();
        set_permissions(path.join("a"), Permissions::from_mode(0o000)).unwrap();
        assert!(matches!(dir.read("a", 9), Err(Error::Read { .. })));
    }
}

#[test]
fn a_killed_writer_leaves_the_old_file_whole() {
    let (_outer, path, dir) = directory();
    dir.write_atomic("web.json", b"old", FILE_MODE).unwrap();
    // In its place in the middle of a write; it ran in this container before, with our pid.
    let own = TempName {
        pid: std::process::id(),
        serial: 1,
    }
    .to_string();
    let other = TempName {
        pid: 4_000_000,
        serial: 2,
    }
    .to_string();
    for name in [&own, &other] {
        File::create(path.join(name)).unwrap();
    }
    assert_eq!(
        dir.read("web.json", 9).unwrap().as_deref(),
        Some(b"old".as_slice())
    );
    assert_eq!(dir.list().unwrap(), ["web.json"]);
    File::create(path.join(".spo-notes.tmp")).unwrap();
    assert_eq!(dir.remove_stale_temps().unwrap(), 2);
    assert_eq!(names(&path), [".spo-notes.tmp", "web.json"]);
    assert_eq!(dir.remove_stale_temps().unwrap(), 0);
}

#[test]
fn writes_in_flight_are_not_stale() {
    let (_outer, _path, dir) = directory();
    let until = Instant::now() + std::time::Duration::from_millis(300);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < until {
                dir.remove_stale_temps().unwrap();
            }
        });
        while Instant::now() < until {
            dir.write_atomic("a", b"x", FILE_MODE).unwrap();
        }
    });
}

#[test]
fn names_which_are_not_text_are_left_out() {
    use std::os::unix::ffi::OsStrExt as _;
    let (_outer, path, dir) = directory();
    File::create(path.join(std::ffi::OsStr::from_bytes(b"\xff"))).unwrap();
    File::create(path.join("b")).unwrap();
    File::create(path.join("a")).unwrap();
    assert_eq!(dir.list().unwrap(), ["a", "b"]);
    assert_eq!(dir.list().unwrap(), ["a", "b"]);
}
