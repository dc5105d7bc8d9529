//! A node that was prepared, with what an attacker or an older release could have left on it.
//!
//! The programs run with the rights which their containers have.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]
#![expect(clippy::disallowed_methods, reason = "somebody else wrote these files")]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const OPERATOR: &str = "var/lib/security-profiles-operator";
const LINK: &str = "var/lib/kubelet/seccomp/operator";

/// Of the init container (contract 02, 1.1).
const ENABLER: &[&str] = &[
    "--bounding-set",
    "-all,+chown,+fowner,+fsetid,+dac_override",
];
/// Of the daemon.
const DAEMON: &[&str] = &[
    "--reuid=65535",
    "--regid=65535",
    "--clear-groups",
    "--inh-caps=-all",
    "--bounding-set=-all",
    "--no-new-privs",
];

/// A node with a neighbour which nothing may reach.
struct Node(TempDir);

impl Node {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        // Others must get at what is below, as they do on a node.
        fs::set_permissions(outer.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(outer.path().join("node/var/lib")).unwrap();
        fs::create_dir(outer.path().join("outside")).unwrap();
        fs::write(outer.path().join("outside/secret.json"), "secret").unwrap();
        Self(outer)
    }

    fn outer(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.outer("node").join(path)
    }

    fn make(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Runs a program with rights; what it says on standard error if it fails.
    fn run(&self, rights: &[&str], program: &str, args: &[&str]) -> Result<(), String> {
        // The place where it was built may be closed to others.
        let copy = self.outer("program");
        fs::copy(program, &copy).unwrap();
        let output = Command::new("setpriv")
            .args(rights)
            .arg(&copy)
            .args(args)
            .output()
            .unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }

    fn enable(&self) -> Result<(), String> {
        self.enable_for(None)
    }

    fn enable_for(&self, kubelet: Option<&str>) -> Result<(), String> {
        let root = self.path("");
        let args: Vec<&str> = root.to_str().into_iter().chain(kubelet).collect();
        self.run(ENABLER, env!("CARGO_BIN_EXE_enable-node"), &args)
    }

    fn write_profiles(&self) -> Result<(), String> {
        let root = self.path("");
        let args = [root.to_str().unwrap(), LINK];
        self.run(DAEMON, env!("CARGO_BIN_EXE_write-profiles"), &args)
    }

    /// Everything on the node and beside it, with what a change would change.
    fn everything(&self) -> BTreeMap<PathBuf, (u64, u32, u32, u32, i64, i64)> {
        let mut found = BTreeMap::new();
        let mut todo = vec![self.outer("node"), self.outer("outside")];
        while let Some(path) = todo.pop() {
            let it = fs::symlink_metadata(&path).unwrap();
            if it.is_dir() {
                todo.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
            }
            let facts = (
                it.ino(),
                it.mode(),
                it.uid(),
                it.gid(),
                it.ctime(),
                it.ctime_nsec(),
            );
            found.insert(path, facts);
        }
        found
    }
}

fn mode_and_owner(path: &Path) -> (u32, u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.mode() & 0o7777, found.uid(), found.gid())
}

#[test]
fn an_empty_node_is_prepared_and_the_daemon_writes_to_it() {
    let node = Node::new();
    node.enable().unwrap();
    assert_eq!(mode_and_owner(&node.path(OPERATOR)), (0o755, 65535, 65535));
    for made in ["var/lib/kubelet", "var/lib/kubelet/seccomp"] {
        assert_eq!(mode_and_owner(&node.path(made)), (0o755, 0, 0), "{made}");
    }
    let target = fs::read_link(node.path(LINK)).unwrap();
    assert_eq!(target, Path::new("/var/lib/security-profiles-operator"));
    let config = node.path(OPERATOR).join("kubelet-config.json");
    assert_eq!(
        fs::read(&config).unwrap(),
        br#"{"kubeletDir":"/var/lib/kubelet"}"#
    );
    assert_eq!(mode_and_owner(&config), (0o644, 0, 0));

    node.write_profiles().unwrap();
    let profile = node.path(OPERATOR).join("one.json");
    assert_eq!(fs::read(&profile).unwrap(), b"second");
    assert_eq!(mode_and_owner(&profile), (0o644, 65535, 65535));
}

#[test]
fn without_the_enabler_the_daemon_can_not_write() {
    let node = Node::new();
    let operator = node.make(OPERATOR);
    node.make("var/lib/kubelet/seccomp");
    symlink("/var/lib/security-profiles-operator", node.path(LINK)).unwrap();
    let error = node.write_profiles().unwrap_err();
    assert!(error.contains("Permission denied"), "{error}");
    assert_eq!(operator.read_dir().unwrap().count(), 0);
}

#[test]
fn a_second_run_changes_nothing() {
    let node = Node::new();
    node.enable().unwrap();
    node.write_profiles().unwrap();
    let before = node.everything();
    assert!(before.len() > 8);
    node.enable().unwrap();
    assert_eq!(node.everything(), before);
}

#[test]
fn files_of_a_daemon_that_ran_as_root_are_given_to_the_new_one() {
    let node = Node::new();
    // As upstream leaves it.
    let operator = node.make(OPERATOR);
    fs::set_permissions(&operator, Permissions::from_mode(0o744)).unwrap();
    for name in ["one.json", "other.json", "notes.txt"] {
        fs::write(operator.join(name), "old").unwrap();
    }
    node.make("var/lib/kubelet/seccomp");
    symlink("/var/lib/security-profiles-operator", node.path(LINK)).unwrap();
    node.enable().unwrap();
    assert_eq!(mode_and_owner(&operator), (0o755, 65535, 65535));
    for (name, owner) in [("one.json", 65535), ("other.json", 65535), ("notes.txt", 0)] {
        let expected = (0o644, owner, owner);
        assert_eq!(mode_and_owner(&operator.join(name)), expected, "{name}");
    }
    node.write_profiles().unwrap();
    assert_eq!(fs::read(operator.join("other.json")).unwrap(), b"old");
}

#[test]
fn links_are_neither_followed_out_of_the_node_nor_given_away() {
    let node = Node::new();
    let operator = node.make(OPERATOR);
    chown(&operator, Some(65535), Some(65535)).unwrap();
    let secret = node.outer("outside/secret.json");
    let shadow = node.make("etc").join("shadow.json");
    fs::write(&shadow, "shadow").unwrap();
    // What a daemon that was taken over could leave behind.
    symlink(&secret, operator.join("absolute.json")).unwrap();
    symlink(
        "../../../../outside/secret.json",
        operator.join("relative.json"),
    )
    .unwrap();
    symlink("../../../etc/shadow.json", operator.join("inside.json")).unwrap();
    fs::hard_link(&shadow, operator.join("hard.json")).unwrap();
    symlink("/etc/shadow.json", operator.join("kubelet-config.json")).unwrap();
    fs::create_dir(operator.join("directory.json")).unwrap();
    node.enable().unwrap();
    for file in [&secret, &shadow] {
        assert_eq!(mode_and_owner(file), (0o644, 0, 0), "{}", file.display());
    }
    assert_eq!(fs::read(&shadow).unwrap(), b"shadow");
    assert_eq!(mode_and_owner(&operator.join("directory.json")).1, 0);
    let config = fs::symlink_metadata(operator.join("kubelet-config.json")).unwrap();
    assert!(config.is_file());
}

#[test]
fn directories_which_are_links_stay_on_the_node() {
    let node = Node::new();
    let outside = node.outer("outside");
    // An absolute link starts again at the root of the node, where this is nothing.
    symlink(&outside, node.path(OPERATOR)).unwrap();
    let before = node.everything();
    let error = node.enable().unwrap_err();
    assert!(error.contains("is a link to nowhere"), "{error}");
    fs::remove_file(node.path(OPERATOR)).unwrap();
    symlink("../../../../../../outside", node.path(OPERATOR)).unwrap();
    node.enable().unwrap_err();
    assert_eq!(before[&outside], node.everything()[&outside]);
    // On the node it is followed: another disk, for example.
    fs::remove_file(node.path(OPERATOR)).unwrap();
    let disk = node.make("mnt/disk");
    symlink("/mnt/disk", node.path(OPERATOR)).unwrap();
    node.enable().unwrap();
    assert_eq!(mode_and_owner(&disk), (0o755, 65535, 65535));
    node.write_profiles().unwrap();
    assert!(disk.join("one.json").exists());
}

#[test]
fn an_empty_directory_in_place_of_the_link_is_replaced() {
    let node = Node::new();
    node.make(LINK);
    node.enable().unwrap();
    assert!(node.path(LINK).is_symlink());
}

#[test]
fn a_directory_with_files_in_place_of_the_link_is_an_error_and_kept() {
    let node = Node::new();
    let file = node.make(LINK).join("web.json");
    fs::write(&file, "old").unwrap();
    let before = node.everything();
    let error = node.enable().unwrap_err();
    assert!(error.contains("move what is needed there"), "{error}");
    assert_eq!(node.everything(), before);
}

#[test]
fn another_way_to_write_the_link_is_fine_and_another_target_is_not() {
    let node = Node::new();
    node.make(OPERATOR);
    node.make("var/lib/kubelet/seccomp");
    symlink("../../security-profiles-operator/", node.path(LINK)).unwrap();
    node.enable().unwrap();
    node.write_profiles().unwrap();

    fs::remove_file(node.path(LINK)).unwrap();
    symlink("/etc", node.path(LINK)).unwrap();
    let error = node.enable().unwrap_err();
    assert!(error.contains("remove the link"), "{error}");
}

#[test]
fn what_the_node_remembers_goes_before_what_is_asked_for() {
    let node = Node::new();
    node.enable_for(Some("mnt/resource/kubelet")).unwrap();
    let config = node.path(OPERATOR).join("kubelet-config.json");
    let expected = br#"{"kubeletDir":"/mnt/resource/kubelet"}"#;
    assert_eq!(fs::read(&config).unwrap(), expected);
    assert!(
        node.path("mnt/resource/kubelet/seccomp/operator")
            .is_symlink()
    );
    node.enable_for(Some("/var/lib/kubelet")).unwrap();
    assert_eq!(fs::read(&config).unwrap(), expected);
    assert!(!node.path("var/lib/kubelet").exists());
    // As upstream wrote it.
    fs::write(&config, r#"{"kubeletDir":"mnt/resource/kubelet"}"#).unwrap();
    node.enable().unwrap();
    assert_eq!(fs::read(&config).unwrap(), expected);
}

#[test]
fn a_kubelet_directory_above_the_node_is_refused() {
    let node = Node::new();
    let before = node.everything();
    let error = node.enable_for(Some("/../outside")).unwrap_err();
    assert!(error.contains("is not a path on the node"), "{error}");
    assert_eq!(node.everything(), before);
}
