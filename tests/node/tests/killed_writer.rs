//! A writer which is killed at any time leaves a whole file, and at most one temporary one.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use spo_host::file::Dir;
use spo_host::root::{CreateDirs, NodeRoot};

/// What `write-forever` writes at a time.
const SIZE: usize = 1 << 16;

/// The letter of the file, after the proof that it is whole.
fn letter(dir: &Dir) -> Option<u8> {
    let bytes = dir.read("web.json", SIZE).unwrap()?;
    assert_eq!(bytes.len(), SIZE);
    let first = bytes[0];
    assert!(
        bytes.iter().all(|byte| *byte == first),
        "two writes are mixed"
    );
    Some(first)
}

#[test]
fn a_killed_writer_leaves_a_whole_file() {
    let directory = tempfile::tempdir().unwrap();
    let root = NodeRoot::open(directory.path()).unwrap();
    let dir = root.dir("", CreateDirs::Never).unwrap();
    let mut stale = 0;
    for turn in 0..40 {
        let mut writer = Command::new(env!("CARGO_BIN_EXE_write-forever"));
        let mut writer = writer.arg(directory.path()).spawn().unwrap();
        let before = letter(&dir);
        let deadline = Instant::now() + Duration::from_secs(30);
        while letter(&dir) == before {
            assert!(Instant::now() < deadline, "the writer does not write");
        }
        // Then at another moment of a write in every turn.
        let kill_at = Instant::now() + Duration::from_micros(turn * 97);
        while Instant::now() < kill_at {
            letter(&dir);
        }
        writer.kill().unwrap();
        assert_eq!(writer.wait().unwrap().signal(), Some(9));

        letter(&dir);
        let left = dir.remove_stale_temps().unwrap();
        assert!(left <= 1, "{left} temporary files");
        stale += left;
        assert_eq!(dir.list().unwrap(), ["web.json"]);
    }
    assert!(
        stale > 0,
        "no turn hit a write, so that the test shows nothing"
    );
}
