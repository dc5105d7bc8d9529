//! Parser: compiles the text of a profile with `apparmor_parser`.
//!
//! A child process without privileges of its own: it loads nothing, reads the text from its input,
//! and writes what it has compiled to its output. Its time, memory and output are limited, because
//! the text may be a tenant's and a few lines can take for ever.

mod message;

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

pub use message::SyntaxError;

/// Where distributions put the program.
const PROGRAMS: [&str; 2] = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];

/// As the child sees its own input. By a path, so that the parser says of an error whether it is in
/// this text or in a file which the text includes.
const INPUT: &str = "/proc/self/fd/0";

/// What one run may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// From the start to the end.
    pub time: Duration,
    /// Bytes of memory. A profile of a few hundred rules takes 14 MiB, of which 5 are resident.
    pub memory: u64,
    /// Bytes of a compiled profile.
    pub output: usize,
    /// Runs at the same time.
    pub at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            memory: 64 << 20,
            output: 8 << 20,
            at_once: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Bytes of what the parser has to say.
const COMPLAINTS_MAX: usize = 16 * 1024;

/// The compiler of profiles.
#[derive(Debug, Clone)]
pub struct Parser {
    program: PathBuf,
    includes: Vec<PathBuf>,
    limits: Limits,
    slots: Arc<Semaphore>,
}

/// Why there is no compiled profile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not one of a profile.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// The program can not be run.
    #[error("cannot run {program}")]
    Run {
        /// Of the program.
        program: String,
        /// From the system.
        source: io::Error,
    },
    /// It took too long.
    #[error("the profile takes more than {seconds} s to compile; use fewer or simpler globs")]
    Slow {
        /// The limit.
        seconds: u64,
    },
    /// It takes more memory than it may, or its result is too big.
    #[error(
        "the profile takes more than {mebibytes} MiB to compile; use fewer rules, or fewer globs \
         in them"
    )]
    Big {
        /// The limit which was reached.
        mebibytes: u64,
    },
}

impl Parser {
    /// The program: `chosen`, or the one of this system. `None`: there is none.
    pub fn find(chosen: Option<&Path>) -> Option<PathBuf> {
        let candidates = chosen.map_or_else(
            || PROGRAMS.map(PathBuf::from).to_vec(),
            |chosen| vec![chosen.to_owned()],
        );
        candidates.into_iter().find(|path| path.is_file())
    }

    /// A parser which looks for what a profile includes in `includes`, in this order.
    pub fn new(program: PathBuf, includes: Vec<PathBuf>, limits: Limits) -> Self {
        let slots = Arc::new(Semaphore::new(limits.at_once.max(1)));
        Self {
            program,
            includes,
            limits,
            slots,
        }
    }

    /// The names of the profiles which a text defines, children too (`parent//child`).
    pub async fn names(&self, text: &str) -> Result<Vec<String>, Error> {
        let output = self.run(&["--names"], text).await?;
        let output = String::from_utf8_lossy(&output);
        Ok(output.lines().map(str::to_owned).collect())
    }

    /// Compiles a text for the running kernel.
    pub async fn compile(&self, text: &str) -> Result<Vec<u8>, Error> {
        self.run(&["--skip-kernel-load", "--stdout"], text).await
    }

    /// What the program says it is: `AppArmor parser version 3.0.8`. To be shown and compared.
    pub async fn version(&self) -> Result<String, Error> {
        let output = self.child(&["--version"], &[], None).await?;
        let output = String::from_utf8_lossy(&output);
        Ok(output.lines().next().unwrap_or_default().to_owned())
    }

    async fn run(&self, command: &[&str], text: &str) -> Result<Vec<u8>, Error> {
        let mut args: Vec<PathBuf> = vec![
            // Neither a cache, which could be somebody else's, nor children of its own, which would
            // outlive it.
            "--skip-cache".into(),
            "--jobs=0".into(),
            "--quiet".into(),
        ];
        if let Some((last, before)) = self.includes.split_last() {
            args.extend(["--base".into(), last.clone()]);
            for include in before {
                args.extend(["--Include".into(), include.clone()]);
            }
        }
        args.push(INPUT.into());
        self.child(command, &args, Some(text)).await
    }

    async fn child(
        &self,
        command: &[&str],
        args: &[PathBuf],
        text: Option<&str>,
    ) -> Result<Vec<u8>, Error> {
        // Never closed.
        let _slot = self.slots.acquire().await;
        let cannot_run = |source| Error::Run {
            program: self.program.display().to_string(),
            source,
        };
        let input = text.map_or_else(|| Ok(Stdio::null()), input);
        let mut child = Command::new(&self.program)
            .args(command)
            .args(args)
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(input.map_err(cannot_run)?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot_run)?;
        self.limit(&child).map_err(cannot_run)?;
        let Ok(finished) = tokio::time::timeout(self.limits.time, self.wait(&mut child)).await
        else {
            return Err(Error::Slow {
                seconds: self.limits.time.as_secs(),
            });
        };
        let (status, output, complaints) = finished.map_err(cannot_run)?;
        if output.len() > self.limits.output {
            return Err(Error::Big {
                mebibytes: (self.limits.output >> 20) as u64,
            });
        }
        if status.success() {
            return Ok(output);
        }
        let complaints = String::from_utf8_lossy(&complaints);
        if status.code().is_none() || message::is_about_memory(&complaints) {
            return Err(Error::Big {
                mebibytes: self.limits.memory >> 20,
            });
        }
        let found = message::parse(&complaints, INPUT, text.unwrap_or_default());
        Err(Error::Syntax(found))
    }

    /// Keeps a child small. It has read nothing of the text yet that could make it big.
    fn limit(&self, child: &Child) -> io::Result<()> {
        let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else {
            return Ok(());
        };
        let both = |limit| Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        for (resource, limit) in [
            (Resource::As, self.limits.memory),
            (Resource::Core, 0),
            (Resource::Cpu, self.limits.time.as_secs().max(1)),
        ] {
            match prlimit(Some(pid), resource, both(limit)) {
                // It has ended already.
                Ok(_) | Err(rustix::io::Errno::SRCH) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    async fn wait(&self, child: &mut Child) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let output = at_most(stdout, self.limits.output + 1);
        let complaints = at_most(stderr, COMPLAINTS_MAX);
        let (output, complaints) = futures::try_join!(output, complaints)?;
        if output.len() > self.limits.output {
            child.start_kill()?;
        }
        Ok((child.wait().await?, output, complaints))
    }
}

/// The text as a file without a name: a child which does not read it holds nobody up.
fn input(text: &str) -> io::Result<Stdio> {
    let mut file = File::from(rustix::fs::memfd_create("profile", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(Stdio::from(file))
}

/// The first `limit` bytes. What follows is read and dropped, unless it is too much.
async fn at_most(from: Option<impl AsyncRead + Unpin>, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(mut from) = from else {
        return Ok(bytes);
    };
    (&mut from)
        .take(limit as u64)
        .read_to_end(&mut bytes)
        .await?;
    if bytes.len() == limit {
        let mut rest = from.take(COMPLAINTS_MAX as u64);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
