//! A component as a child process: its log in a file, ended when it is dropped.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{SOON, eventually};

/// How many lines of its log a failed test shows.
const LOG_LINES: usize = 40;

/// A running component.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command. What it prints goes to the end of `log`: a pipe would be held open by
    /// whatever outlives the test.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let out: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Stops it as if it hung, and returns when no thread of it runs any more.
    pub async fn freeze(&self) {
        self.signal(Signal::STOP);
        let pid = self.child.id();
        eventually(SOON, &format!("{} is stopped", self.name), async || {
            for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
                let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
                // The state is behind the name, which is in parentheses.
                let state = stat.rsplit_once(") ").unwrap().1.chars().next();
                if state != Some('T') {
                    return Err(stat);
                }
            }
            Ok(())
        })
        .await;
    }

    /// Lets it go on after [`Process::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().unwrap();
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let name = self.name.clone();
        let ended = async || self.child.try_wait().unwrap().ok_or("it runs".to_owned());
        eventually(SOON, &format!("{name} ends on SIGTERM"), ended).await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Prints the end of its log, for a test which fails.
    pub fn show_log(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_LINES)..];
        eprintln!(
            "---- the end of the log of {}, process {}\n{}",
            self.name,
            self.pid(),
            tail.join("\n")
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
