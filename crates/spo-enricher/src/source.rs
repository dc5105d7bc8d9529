//! Where records come from on this node: the setting, what there is, and reading it.
//!
//! Privileges: the audit socket takes CAP_AUDIT_READ and the network namespace of the host; a file
//! takes its mount, and CAP_DAC_READ_SEARCH, because auditd's is root's alone.

use std::path::{Path, PathBuf};

use spo_audit::frame;
use spo_host::audit::follow::{self, Follower, Start};
use spo_host::audit::netlink::{self, Socket};
use spo_process::chain::chain;
use tracing::{info, warn};

use crate::pipeline::Raw;

/// Which source is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// The file of auditd, or else of syslog, or else the audit socket (decision 13).
    Auditd,
    /// The audit socket.
    Netlink,
    /// The audit socket, or else a file.
    Auto,
    /// BPF programs.
    Bpf,
}

impl Setting {
    /// By the text of `--enricher-log-source`, in whatever case; what nobody knows means files
    /// (contract 02b, 5.2).
    pub fn of(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "netlink" => Self::Netlink,
            "auto" => Self::Auto,
            "bpf" => Self::Bpf,
            _ => Self::Auditd,
        }
    }
}

/// Where files of records are.
#[derive(Debug, Clone)]
pub struct Files {
    /// auditd's.
    pub audit: PathBuf,
    /// The one that syslog writes the kernel's messages to.
    pub syslog: PathBuf,
}

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was asked for, and this version has none.
    #[error(
        "this version has no BPF audit source: set spec.enricher.logEnricherSource to Auditd, \
         Netlink or Auto"
    )]
    NoBpf,
    /// The audit socket.
    #[error("no audit records from the kernel")]
    Netlink(#[from] netlink::Error),
    /// A file.
    #[error("no audit records from a file")]
    File(#[from] follow::Error),
}

/// A source that is open.
#[derive(Debug)]
pub(crate) enum Source {
    File(Box<Follower>, frame::Source),
    Netlink(Socket),
}

/// What was lost while reading.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Losses {
    pub(crate) overruns: u64,
    pub(crate) truncations: u64,
}

impl Source {
    /// Opens what the setting means on this node. Must be called within a tokio runtime.
    pub(crate) fn open(setting: Setting, files: &Files) -> Result<Self, Error> {
        match setting {
            Setting::Bpf => Err(Error::NoBpf),
            Setting::Netlink => Self::netlink(),
            Setting::Auto => Self::netlink().or_else(|error| {
                let Some((path, frame)) = file(files) else {
                    return Err(error);
                };
                warn!(error = chain(&error), "the audit socket can not be had");
                Self::follow(path, frame)
            }),
            Setting::Auditd => match file(files) {
                Some((path, frame)) => Self::follow(path, frame),
                None => {
                    warn!(
                        audit = %files.audit.display(),
                        syslog = %files.syslog.display(),
                        "the node has no audit log: using the audit socket of the kernel"
                    );
                    Self::netlink()
                }
            },
        }
    }

    fn netlink() -> Result<Self, Error> {
        let socket = Socket::open()?;
        info!("Using netlink-based audit source");
        Ok(Self::Netlink(socket))
    }

    fn follow(path: &Path, frame: frame::Source) -> Result<Self, Error> {
        let follower = Follower::new(path, Start::End)?;
        info!("Using auditd-based audit source");
        info!("Reading from file {}", path.display());
        Ok(Self::File(Box::new(follower), frame))
    }

    /// How its lines are framed.
    pub(crate) fn frame(&self) -> frame::Source {
        match self {
            Self::File(_, frame) => *frame,
            Self::Netlink(_) => frame::Source::KernelLog,
        }
    }

    /// Waits for records and hands on what is there. Cancel-safe.
    pub(crate) async fn read(&mut self, mut take: impl FnMut(Raw<'_>)) -> Result<Losses, Error> {
        match self {
            Self::File(follower, _) => {
                let read = follower.read(|line| take(Raw::Line(line))).await?;
                Ok(Losses {
                    overruns: 0,
                    truncations: read.truncated.into(),
                })
            }
            Self::Netlink(socket) => {
                let read = socket
                    .read(|number, text| take(Raw::Message(number, text)))
                    .await?;
                Ok(Losses {
                    overruns: read.overruns as u64,
                    truncations: 0,
                })
            }
        }
    }
}

/// The file there is.
fn file(files: &Files) -> Option<(&Path, frame::Source)> {
    let known = [
        (&files.audit, frame::Source::Auditd),
        (&files.syslog, frame::Source::Syslog),
    ];
    let there = known.into_iter().find(|(path, _)| path.exists());
    there.map(|(path, frame)| (path.as_path(), frame))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "these files play the ones of log daemons"
)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_in_whatever_case() {
        for (text, expected) in [
            ("BPF", Setting::Bpf),
            ("Netlink", Setting::Netlink),
            ("auto", Setting::Auto),
            ("Auditd", Setting::Auditd),
            ("", Setting::Auditd),
            ("what", Setting::Auditd),
        ] {
            assert_eq!(Setting::of(text), expected);
        }
    }

    #[tokio::test]
    async fn the_file_that_is_there_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files {
            audit: directory.path().join("audit.log"),
            syslog: directory.path().join("syslog"),
        };
        assert_eq!(file(&files), None);
        std::fs::write(&files.syslog, "").unwrap();
        let source = Source::open(Setting::Auditd, &files).unwrap();
        assert_eq!(source.frame(), frame::Source::Syslog);
        std::fs::write(&files.audit, "before\n").unwrap();
        let mut source = Source::open(Setting::Auditd, &files).unwrap();
        assert_eq!(source.frame(), frame::Source::Auditd);
        std::fs::write(&files.audit, "before\nafter\n").unwrap();
        let mut lines = Vec::new();
        let read = source.read(|raw| {
            if let Raw::Line(line) = raw {
                lines.push(line.to_vec());
            }
        });
        assert_eq!(read.await.unwrap().overruns, 0);
        assert_eq!(lines, [b"after".to_vec()]);
    }

    #[tokio::test]
    async fn bpf_says_what_to_set_instead() {
        let files = Files {
            audit: "/none".into(),
            syslog: "/none".into(),
        };
        let error = Source::open(Setting::Bpf, &files).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("spec.enricher.logEnricherSource")
        );
    }
}
