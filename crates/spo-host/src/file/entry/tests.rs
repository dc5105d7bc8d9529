//! Owners and links, with what a neighbour could put in their place. Run as root, because only
//! root gives files away; for others the change itself is refused, and nothing else is shown.

#![expect(clippy::disallowed_methods, reason = "somebody else wrote these files")]

use std::fs::{create_dir, hard_link, metadata, symlink_metadata, write};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::root::{CreateDirs, NodeRoot};

const SOMEBODY: Owner = Owner {
    uid: 65535,
    gid: 65534,
};

fn directory() -> (TempDir, PathBuf, Dir) {
    let outer = tempfile::tempdir().unwrap();
    write(outer.path().join("secret"), "secret").unwrap();
    create_dir(outer.path().join("dir")).unwrap();
    let path = outer.path().join("dir");
    let dir = NodeRoot::open(&path).unwrap().dir("", CreateDirs::Never);
    (outer, path, dir.unwrap())
}

fn owner_of(path: &Path) -> Owner {
    let found = symlink_metadata(path).unwrap();
    Owner {
        uid: found.uid(),
        gid: found.gid(),
    }
}

fn own() -> Owner {
    Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    }
}

#[test]
fn every_kind_of_entry_is_told() {
    let (_outer, path, dir) = directory();
    write(path.join("file"), "").unwrap();
    hard_link(path.join("file"), path.join("again")).unwrap();
    create_dir(path.join("directory")).unwrap();
    symlink("../secret", path.join("link")).unwrap();
    fs::mknodat(fs::CWD, path.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let owner = own();
    for (name, expected) in [
        (
            "file",
            Some(Entry::File {
                owner,
                only_name: false,
            }),
        ),
        ("directory", Some(Entry::Directory)),
        (
            "link",
            Some(Entry::Link {
                target: "../secret".to_owned(),
            }),
        ),
        ("fifo", Some(Entry::Other)),
        ("absent", None),
    ] {
        assert_eq!(dir.entry(name).unwrap(), expected, "{name}");
    }
    assert!(dir.entry("../secret").is_err());
}

#[test]
fn a_directory_is_told_by_what_it_is() {
    let (_outer, path, dir) = directory();
    create_dir(path.join("one")).unwrap();
    create_dir(path.join("two")).unwrap();
    symlink("/one", path.join("link")).unwrap();
    let root = NodeRoot::open(&path).unwrap();
    let open = |name| root.dir(name, CreateDirs::Never).unwrap();
    assert!(open("link").is_same(&open("one")).unwrap());
    assert!(!open("one").is_same(&open("two")).unwrap());
    assert_eq!(open("one").owner().unwrap(), own());
    dir.set_own_mode(0o711).unwrap();
    assert_eq!(dir.own_mode().unwrap(), 0o711);
    assert_eq!(metadata(&path).unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn only_a_file_with_one_name_is_given_away() {
    let (outer, path, dir) = directory();
    write(path.join("file"), "").unwrap();
    symlink("../secret", path.join("link")).unwrap();
    hard_link(outer.path().join("secret"), path.join("hard")).unwrap();
    create_dir(path.join("directory")).unwrap();
    let refused = |name| dir.set_file_owner(name, SOMEBODY).unwrap_err();
    assert!(matches!(refused("link"), Error::Symlink { .. }));
    assert!(matches!(refused("hard"), Error::SeveralNames { .. }));
    assert!(matches!(refused("directory"), Error::NotRegular { .. }));
    assert!(matches!(refused("absent"), Error::Change { .. }));
    assert!(matches!(refused("../secret"), Error::InvalidName(_)));
    for untouched in [
        outer.path().join("secret"),
        path.join("link"),
        path.join("directory"),
    ] {
        assert_eq!(owner_of(&untouched), own(), "{}", untouched.display());
    }

    let given = dir.set_file_owner("file", SOMEBODY);
    let directory = dir.set_owner(SOMEBODY);
    if own().uid == 0 {
        given.unwrap();
        directory.unwrap();
        assert_eq!(owner_of(&path.join("file")), SOMEBODY);
        assert_eq!(owner_of(&path), SOMEBODY);
        assert_eq!(owner_of(outer.path()), own());
    } else {
        assert!(matches!(given, Err(Error::Change { .. })));
        assert!(matches!(directory, Err(Error::Change { .. })));
    }
}

#[test]
fn a_link_replaces_nothing() {
    let (_outer, path, dir) = directory();
    dir.link("link", "/var/lib/somewhere").unwrap();
    let target = "/var/lib/somewhere".to_owned();
    assert_eq!(dir.entry("link").unwrap(), Some(Entry::Link { target }));
    write(path.join("file"), "").unwrap();
    assert!(matches!(dir.link("file", "/x"), Err(Error::Write { .. })));
    assert!(matches!(dir.link("link", "/x"), Err(Error::Write { .. })));
}

#[test]
fn only_an_empty_directory_is_removed() {
    let (outer, path, dir) = directory();
    create_dir(path.join("empty")).unwrap();
    create_dir(path.join("full")).unwrap();
    write(path.join("full/file"), "").unwrap();
    symlink(outer.path(), path.join("link")).unwrap();
    assert_eq!(dir.remove_dir("empty").unwrap(), Removed::Yes);
    assert_eq!(dir.remove_dir("empty").unwrap(), Removed::WasAbsent);
    for name in ["full", "link", "full/file"] {
        assert!(dir.remove_dir(name).is_err(), "{name}");
    }
    assert!(path.join("full/file").exists());
}
