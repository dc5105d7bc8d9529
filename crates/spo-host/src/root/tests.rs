//! Lookups beneath a node root, with links that try to leave it.

use std::fs::{create_dir, create_dir_all, metadata, symlink_metadata};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;
use crate::file::FILE_MODE;

/// A node root with a sibling `outside` which nothing may reach.
fn node() -> (tempfile::TempDir, NodeRoot) {
    let outer = tempfile::tempdir().unwrap();
    create_dir(outer.path().join("node")).unwrap();
    create_dir(outer.path().join("outside")).unwrap();
    let root = NodeRoot::open(&outer.path().join("node")).unwrap();
    (outer, root)
}

fn inode(path: &Path) -> u64 {
    metadata(path).unwrap().ino()
}

#[test]
fn directories_are_made_with_their_mode_whatever_the_umask() {
    let (outer, root) = node();
    let dir = root
        .dir("/var/lib/kubelet/seccomp", CreateDirs::Missing)
        .unwrap();
    assert_eq!(dir.path(), "/var/lib/kubelet/seccomp");
    for made in [
        "var",
        "var/lib",
        "var/lib/kubelet",
        "var/lib/kubelet/seccomp",
    ] {
        let mode = metadata(outer.path().join("node").join(made))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, DIRECTORY_MODE, "{made}");
    }
    root.dir("var/lib/kubelet/seccomp", CreateDirs::Never)
        .unwrap();
}

#[test]
fn directories_are_searchable_if_asked_for() {
    let (outer, root) = node();
    root.dir("var/lib", CreateDirs::MissingSearchable).unwrap();
    for made in ["node/var", "node/var/lib"] {
        let mode = metadata(outer.path().join(made)).unwrap().mode();
        assert_eq!(mode & 0o7777, SEARCHABLE_MODE, "{made}");
    }
}

#[test]
fn existing_directories_keep_their_mode() {
    let (outer, root) = node();
    let var = outer.path().join("node/var");
    create_dir(&var).unwrap();
    std::fs::set_permissions(&var, std::fs::Permissions::from_mode(0o700)).unwrap();
    root.dir("var/lib", CreateDirs::Missing).unwrap();
    assert_eq!(metadata(&var).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn nothing_is_made_unless_asked_for() {
    let (outer, root) = node();
    let error = root.dir("var/lib", CreateDirs::Never).unwrap_err();
    let Error::OpenDir { path, source } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (path.as_str(), source.kind()),
        ("/var/lib", io::ErrorKind::NotFound)
    );
    assert!(!outer.path().join("node/var").exists());
}

#[test]
fn the_root_itself_is_the_empty_path() {
    let (outer, root) = node();
    let dir = root.dir("/", CreateDirs::Never).unwrap();
    dir.write_atomic("a", b"", FILE_MODE).unwrap();
    assert!(outer.path().join("node/a").exists());
    assert!(
        root.dir("", CreateDirs::Never)
            .unwrap()
            .read("a", 0)
            .unwrap()
            .is_some()
    );
}

#[test]
fn paths_with_odd_parts_are_refused() {
    let (_outer, root) = node();
    let long = "a".repeat(256);
    for path in [
        "..",
        "../outside",
        "a/../b",
        "a/./b",
        "a//b",
        "a\0b",
        ".",
        &long,
    ] {
        let found = root.dir(path, CreateDirs::Missing);
        assert!(matches!(found, Err(Error::InvalidPath(_))), "{path:?}");
    }
}

#[test]
fn an_absolute_link_starts_again_at_the_node_root() {
    let (outer, root) = node();
    let target = outer.path().join("node/var/lib/security-profiles-operator");
    create_dir_all(&target).unwrap();
    create_dir_all(outer.path().join("node/kubelet/seccomp")).unwrap();
    let link = outer.path().join("node/kubelet/seccomp/operator");
    symlink("/var/lib/security-profiles-operator", &link).unwrap();

    let dir = root
        .dir("/kubelet/seccomp/operator", CreateDirs::Missing)
        .unwrap();
    dir.write_atomic("web.json", b"{}", FILE_MODE).unwrap();
    assert!(target.join("web.json").exists());
    assert!(symlink_metadata(&link).unwrap().is_symlink());

    let below = root
        .dir("/kubelet/seccomp/operator/sub", CreateDirs::Missing)
        .unwrap();
    assert_eq!(
        fs::fstat(&below).unwrap().st_ino,
        inode(&target.join("sub"))
    );
}

#[test]
fn links_can_not_leave_the_node_root() {
    let (outer, root) = node();
    let outside = outer.path().join("outside");
    symlink("../outside", outer.path().join("node/relative")).unwrap();
    symlink("../../../../../../../..", outer.path().join("node/up")).unwrap();
    symlink(&outside, outer.path().join("node/absolute")).unwrap();
    symlink("/proc/self/root", outer.path().join("node/magic")).unwrap();

    // As in a chroot, `..` of the root is the root.
    let up = root.dir("up", CreateDirs::Never).unwrap();
    assert_eq!(
        fs::fstat(&up).unwrap().st_ino,
        inode(&outer.path().join("node"))
    );
    for path in ["relative", "absolute", "magic"] {
        let found = root.dir(path, CreateDirs::Missing);
        assert!(
            matches!(found, Err(Error::DanglingLink { .. })),
            "{path}: {found:?}"
        );
        let found = root.dir(&format!("{path}/sub"), CreateDirs::Missing);
        assert!(
            matches!(found, Err(Error::DanglingLink { .. })),
            "{path}/sub: {found:?}"
        );
    }
    assert_eq!(outside.read_dir().unwrap().count(), 0);
}

#[test]
fn magic_links_are_not_followed() {
    let root = NodeRoot::open(Path::new("/")).unwrap();
    let found = root.dir("proc/self/root/tmp", CreateDirs::Never);
    assert!(matches!(found, Err(Error::OpenDir { .. })), "{found:?}");
}

#[test]
fn a_file_in_place_of_a_directory_is_named() {
    let (_outer, root) = node();
    let top = root.dir("", CreateDirs::Never).unwrap();
    top.write_atomic("var", b"", FILE_MODE).unwrap();
    for path in ["var", "var/lib"] {
        let error = root.dir(path, CreateDirs::Missing).unwrap_err();
        let Error::OpenDir {
            path: named,
            source,
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(source.kind(), io::ErrorKind::NotADirectory, "{path}");
        assert_eq!(error.to_string(), format!("cannot open directory {named}"));
    }
    let file = NodeRoot::open(&_outer.path().join("node/var"));
    assert!(matches!(file, Err(Error::OpenRoot { .. })), "{file:?}");
}

#[test]
fn a_directory_which_can_not_be_made_is_named() {
    let root = NodeRoot::open(Path::new("/sys")).unwrap();
    let error = root
        .dir("kernel/spo-test", CreateDirs::Missing)
        .unwrap_err();
    let Error::CreateDir { path, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(path, "/kernel/spo-test");
}
