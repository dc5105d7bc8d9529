//! Everything that a log daemon does to its file.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

struct Log {
    directory: TempDir,
}

impl Log {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("audit.log")
    }

    fn other(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn append(&self, text: &str) {
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(self.path()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn follow(&self, start: Start) -> Follower {
        Follower::new(&self.path(), start).unwrap()
    }
}

/// Reads until `count` lines are there.
async fn lines(follower: &mut Follower, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let read = follower.read(|line| lines.push(String::from_utf8_lossy(line).into_owned()));
        timeout(Duration::from_secs(20), read)
            .await
            .expect("lines within 20 s")
            .unwrap();
    }
    lines
}

async fn is_quiet(follower: &mut Follower) -> bool {
    let read = follower.read(|_| ());
    timeout(Duration::from_millis(50), read).await.is_err()
}

#[tokio::test]
async fn what_is_there_at_the_start_is_old() {
    let log = Log::new();
    log.append("old\n");
    let mut follower = log.follow(Start::End);
    assert!(is_quiet(&mut follower).await);
    log.append("a\nb\n");
    assert_eq!(lines(&mut follower, 2).await, ["a", "b"]);
}

#[tokio::test]
async fn a_line_is_whole_before_it_is_handed_on() {
    let log = Log::new();
    log.append("");
    let mut follower = log.follow(Start::End);
    log.append("be");
    assert!(is_quiet(&mut follower).await);
    log.append("gun\n\n");
    assert_eq!(lines(&mut follower, 2).await, ["begun", ""]);
}

#[tokio::test]
async fn a_file_that_comes_later_is_read_from_its_start() {
    let log = Log::new();
    let mut follower = log.follow(Start::End);
    assert!(is_quiet(&mut follower).await);
    assert_eq!(follower.position(), None);
    log.append("first\n");
    assert_eq!(lines(&mut follower, 1).await, ["first"]);
}

#[tokio::test]
async fn a_rotated_file_is_read_to_its_end() {
    let log = Log::new();
    log.append("");
    let mut follower = log.follow(Start::End);
    log.append("a\n");
    assert_eq!(lines(&mut follower, 1).await, ["a"]);
    // The daemon still writes to the old file after the rename, and nobody has looked since.
    let mut old = OpenOptions::new().append(true).open(log.path()).unwrap();
    fs::rename(log.path(), log.other("audit.log.1")).unwrap();
    old.write_all(b"b\n").unwrap();
    log.append("c\n");
    assert_eq!(lines(&mut follower, 2).await, ["b", "c"]);
    log.append("d\n");
    assert_eq!(lines(&mut follower, 1).await, ["d"]);
}

#[tokio::test]
async fn rotations_in_a_row_do_not_confuse() {
    let log = Log::new();
    log.append("");
    let mut follower = log.follow(Start::End);
    for turn in 0..20 {
        log.append(&format!("{turn}\n"));
        assert_eq!(lines(&mut follower, 1).await, [turn.to_string()]);
        fs::rename(log.path(), log.other("audit.log.1")).unwrap();
    }
}

#[tokio::test]
async fn a_truncated_file_starts_over() {
    let log = Log::new();
    log.append("");
    let mut follower = log.follow(Start::End);
    log.append("a long line\nbegun");
    assert_eq!(lines(&mut follower, 1).await, ["a long line"]);
    OpenOptions::new()
        .write(true)
        .open(log.path())
        .unwrap()
        .set_len(0)
        .unwrap();
    let mut seen = Vec::new();
    let read = follower.read(|line| seen.push(line.to_vec()));
    let read = timeout(Duration::from_secs(20), read)
        .await
        .unwrap()
        .unwrap();
    assert!(read.truncated && seen.is_empty(), "{read:?}");
    log.append("new\n");
    assert_eq!(lines(&mut follower, 1).await, ["new"]);
}

#[tokio::test]
async fn a_deleted_file_is_waited_for() {
    let log = Log::new();
    log.append("");
    let mut follower = log.follow(Start::End);
    fs::remove_file(log.path()).unwrap();
    assert!(is_quiet(&mut follower).await);
    log.append("back\n");
    assert_eq!(lines(&mut follower, 1).await, ["back"]);
}

#[tokio::test]
async fn a_line_without_an_end_is_cut_and_the_next_one_is_whole() {
    let log = Log::new();
    log.append("");
    let mut follower = log.follow(Start::End);
    log.append(&"x".repeat(3 * LINE_MAX));
    log.append("\nnext\n");
    let seen = lines(&mut follower, 2).await;
    assert_eq!(seen[0].len(), LINE_MAX);
    assert_eq!(seen[1], "next");
}

#[tokio::test]
async fn a_later_follower_takes_up_where_the_last_one_ended() {
    let log = Log::new();
    log.append("");
    let mut first = log.follow(Start::End);
    log.append("a\nbegun");
    assert_eq!(lines(&mut first, 1).await, ["a"]);
    assert!(is_quiet(&mut first).await);
    let position = first.position().unwrap();
    drop(first);
    log.append(" and ended\n");
    let mut second = log.follow(Start::At(position));
    assert_eq!(lines(&mut second, 1).await, ["begun and ended"]);
    let position = second.position().unwrap();
    drop(second);
    // Rotated in between.
    log.append("c\n");
    fs::rename(log.path(), log.other("audit.log.1")).unwrap();
    log.append("d\n");
    let mut third = log.follow(Start::At(position));
    assert_eq!(lines(&mut third, 2).await, ["c", "d"]);
    // Rotated away for good: only what is new.
    fs::remove_file(log.other("audit.log.1")).unwrap();
    let mut fourth = log.follow(Start::At(position));
    log.append("e\n");
    assert_eq!(lines(&mut fourth, 1).await, ["e"]);
}
