//! semodule(8): run with a clean environment, bounded in time and output.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::output::{self, Listing};
use super::search::{Attempt, Change, Verdict};
use crate::status::is_policy_name;

/// The priority of our modules in the store, which is upstream's (contract 02a, 3.8).
pub(crate) const PRIORITY: u16 = 350;

/// How long one run may take: a full policy takes 10 s natively, and 80 s under emulation.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// How much of what is printed is kept, in bytes: of the end, where the errors are.
const OUTPUT_LIMIT: usize = 1 << 20;

/// How to run semodule.
#[derive(Debug, Clone)]
pub(crate) struct Semodule {
    program: PathBuf,
    time_limit: Duration,
}

/// Why semodule says nothing about modules.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not installed, or may not be executed.
    #[error("cannot run {program}: is policycoreutils installed in this image?")]
    Start {
        /// The path of semodule.
        program: String,
        /// From execve(2).
        source: io::Error,
    },
    /// Its output or its end can not be had.
    #[error("cannot read what {program} prints")]
    Read {
        /// The path of semodule.
        program: String,
        /// From read(2) or wait4(2).
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("{program} took longer than {seconds} s and was ended")]
    TimedOut {
        /// The path of semodule.
        program: String,
        /// The time limit.
        seconds: u64,
    },
    /// It can not list what is in the store.
    #[error("cannot list the module store: {reason}")]
    List {
        /// What it printed.
        reason: String,
    },
}

/// What one run gave.
struct Output {
    success: bool,
    stdout: String,
    stderr: String,
}

impl Semodule {
    /// Of this program; the usual one, or a name that is looked up in the usual places.
    pub(crate) fn new(program: PathBuf) -> Self {
        Self {
            program,
            time_limit: TIME_LIMIT,
        }
    }

    /// Lists the modules, with digests where semodule has them: libsemanage 3.4.
    pub(crate) async fn list(&self) -> Result<Listing, Error> {
        let mut output = self.run(&["--list-modules=full", "--checksum"]).await?;
        if !output.success {
            output = self.run(&["--list-modules=full"]).await?;
        }
        if output.success {
            Ok(output::listing(&output.stdout, PRIORITY))
        } else {
            Err(Error::List {
                reason: output::summary(&output.stderr),
            })
        }
    }

    /// Loads the policy of the store into the kernel. The inner error is what semodule printed.
    pub(crate) async fn load(&self) -> Result<Result<(), String>, Error> {
        let output = self.run(&["--reload"]).await?;
        Ok(if output.success {
            Ok(())
        } else {
            Err(output::summary(&output.stderr))
        })
    }

    /// Runs a transaction on the store. The kernel does not load it: that is a step of its own, so
    /// that what fails can be told apart.
    ///
    /// `file` gives the path of a module's file, and `text` its content for the message.
    pub(crate) async fn attempt(
        &self,
        attempt: &Attempt,
        file: impl Fn(&str) -> Option<PathBuf>,
        text: impl Fn(&str) -> Vec<u8>,
    ) -> Verdict {
        let arguments = arguments(attempt, file);
        let output = match self.run(&arguments).await {
            Ok(output) => output,
            Err(error) => return Verdict::Trouble(spo_process::chain::chain(&error)),
        };
        if output.success {
            return Verdict::Applied;
        }
        if let Some(trouble) = output::trouble(&output.stderr) {
            return Verdict::Trouble(trouble);
        }
        if *attempt == Attempt::Control {
            return Verdict::Unclear(output::summary(&output.stderr));
        }
        let mut blame = output::blame(&output.stderr, PRIORITY);
        if blame.is_none() {
            // Some errors name their place only to those who ask twice.
            let mut verbose: Vec<OsString> = vec!["-v".into(), "-v".into()];
            verbose.extend(arguments);
            if let Ok(output) = self.run(&verbose).await {
                if output.success {
                    return Verdict::Applied;
                }
                let place = output.stderr.rfind("Problem at ");
                let end = place.and_then(|at| {
                    let length = output.stderr[at..].find('\n')?;
                    Some(at + length)
                });
                blame = end.and_then(|end| output::blame(&output.stderr[..end], PRIORITY));
            }
        }
        match blame {
            Some(blame) => Verdict::Blamed {
                message: output::message(&blame, &text(&blame.module)),
                module: blame.module,
            },
            None => Verdict::Unclear(output::summary(&output.stderr)),
        }
    }

    async fn run(&self, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Result<Output, Error> {
        let program = self.program.display().to_string();
        let read = |source| Error::Read {
            program: program.clone(),
            source,
        };
        // Not killed when dropped: a transaction that has begun had better end by itself.
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| Error::Start {
                program: program.clone(),
                source,
            })?;
        match timeout(self.time_limit, collect(&mut child)).await {
            Ok(output) => output.map_err(read),
            Err(_elapsed) => {
                child.kill().await.map_err(read)?;
                Err(Error::TimedOut {
                    program: program.clone(),
                    seconds: self.time_limit.as_secs(),
                })
            }
        }
    }
}

async fn collect(child: &mut Child) -> io::Result<Output> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr, status) = tokio::join!(tail(stdout), tail(stderr), child.wait());
    Ok(Output {
        success: status?.success(),
        stdout: stdout?,
        stderr: stderr?,
    })
}

/// Reads to the end and keeps the last [`OUTPUT_LIMIT`] bytes, or a few more.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        while stream.read_buf(&mut kept).await? > 0 {
            if kept.len() > 2 * OUTPUT_LIMIT {
                kept.drain(..kept.len() - OUTPUT_LIMIT);
            }
        }
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

fn arguments(attempt: &Attempt, file: impl Fn(&str) -> Option<PathBuf>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--noreload".into()];
    match attempt {
        Attempt::Control => arguments.push("--build".into()),
        Attempt::Apply(changes) => {
            arguments.push("--priority".into());
            arguments.push(PRIORITY.to_string().into());
            for change in changes {
                match change {
                    Change::Install(name) => {
                        if let Some(path) = file(name) {
                            arguments.push("--install".into());
                            arguments.push(path.into());
                        }
                    }
                    // A name that starts with a dash would be an option.
                    Change::Remove(name) if is_policy_name(name) => {
                        arguments.push(format!("--remove={name}").into());
                    }
                    Change::Remove(_) => {}
                }
            }
        }
    }
    arguments
}

/// The path of a module's file, as an argument: absolute, so that it is never an option.
pub(crate) fn absolute(directory: &Path, file: &str) -> PathBuf {
    Path::new("/").join(directory).join(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_one_command() {
        let changes = vec![
            Change::Install("a".to_owned()),
            Change::Install("-b".to_owned()),
            Change::Remove("-c".to_owned()),
        ];
        let file = |name: &str| Some(absolute(Path::new("/d"), &format!("{name}.cil")));
        let expected = [
            "--noreload",
            "--priority",
            "350",
            "--install",
            "/d/a.cil",
            "--install",
            "/d/-b.cil",
            "--remove=-c",
        ];
        assert_eq!(arguments(&Attempt::Apply(changes), file), expected);
        assert_eq!(
            arguments(&Attempt::Control, file),
            ["--noreload", "--build"]
        );
    }

    fn shell(script: &str) -> (Semodule, [String; 2]) {
        let semodule = Semodule {
            program: "/bin/sh".into(),
            time_limit: Duration::from_secs(20),
        };
        (semodule, ["-c".to_owned(), script.to_owned()])
    }

    #[tokio::test]
    async fn the_environment_is_clean_and_the_end_of_the_output_is_kept() {
        let (sh, script) = shell("env | sort; echo end >&2; exit 3");
        let output = sh.run(&script).await.unwrap();
        assert!(!output.success);
        let expected = "LC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\n";
        assert_eq!(output.stdout, expected);
        assert_eq!(output.stderr, "end\n");

        let (sh, script) = shell("head -c 9000000 /dev/zero | tr '\\0' x >&2; echo end >&2");
        let output = sh.run(&script).await.unwrap();
        assert!(output.success && output.stderr.ends_with("xend\n"));
        assert!(output.stderr.len() <= 2 * OUTPUT_LIMIT + 1);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended() {
        let (mut sh, script) = shell("sleep 60");
        sh.time_limit = Duration::from_millis(50);
        let error = sh.run(&script).await.err().unwrap();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_program_which_is_not_there_is_trouble_and_no_module_s_fault() {
        let semodule = Semodule::new("/nonexistent/semodule".into());
        let attempt = Attempt::Apply(vec![Change::Remove("a".to_owned())]);
        let verdict = semodule.attempt(&attempt, |_| None, |_| Vec::new()).await;
        let Verdict::Trouble(reason) = verdict else {
            panic!("{verdict:?}");
        };
        assert!(reason.contains("policycoreutils"), "{reason}");
    }
}
