//! Kernel: the profiles which are loaded, through the securityfs.
//!
//! What is loaded is read from `policy/profiles`, a directory for each profile, and not from the
//! file `profiles`: that one is handed out a page at a time, and a profile which is loaded between
//! two pages hides another. Both need Linux 4.13.

mod changes;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Mode;
pub use changes::Changes;

/// Where the kernel shows AppArmor.
pub const DIR: &str = "/sys/kernel/security/apparmor";

/// AppArmor of the running kernel, in the namespace of policy that this process is in.
#[derive(Debug, Clone)]
pub struct Kernel {
    dir: PathBuf,
}

/// A profile which is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// How it is enforced.
    pub mode: Mode,
    /// Of what was loaded, with its children; to be compared only. `None` if this kernel keeps no
    /// hash of what it loads.
    pub digest: Option<Digest>,
}

/// Of a profile which is loaded.
pub type Digest = [u8; 32];

/// What a removal found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// The profile, which is gone now, and its children with it.
    Yes,
    /// Nothing.
    WasAbsent,
}

/// Why the kernel did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of the securityfs can not be read.
    #[error("cannot read {path}")]
    Read {
        /// Of the file or directory.
        path: String,
        /// From open(2) or read(2).
        source: io::Error,
    },
    /// The file through which profiles are loaded or removed is not there, or not for us.
    #[error("cannot open {path}")]
    Open {
        /// Of the file.
        path: String,
        /// From open(2).
        source: io::Error,
    },
    /// The kernel does not take a profile.
    #[error("the kernel does not take the profile")]
    Load(#[source] io::Error),
    /// The kernel does not let a profile go.
    #[error("the kernel does not remove profile {name:?}")]
    Remove {
        /// Of the profile.
        name: String,
        /// From write(2).
        source: io::Error,
    },
    /// Changes can not be waited for.
    #[error("cannot wait for changes of the policy")]
    Wait(#[source] io::Error),
}

/// Bytes of a file which holds one value. A profile can be named by a long path.
const VALUE_MAX: u64 = 8 * 1024;

/// How deep profiles can be in profiles: the kernel has no limit of its own.
const DEPTH_MAX: usize = 8;

impl Kernel {
    /// The kernel whose securityfs shows AppArmor in `dir`, see [`DIR`].
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Looks a profile up.
    pub fn loaded(&self, name: &str) -> Result<Option<Loaded>, Error> {
        let mut found = None;
        self.each(|dir, entry| {
            if found.is_none() && may_be(entry, name) && value(dir, "name")? == name {
                found = Some(loaded(dir)?);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// All profiles which are not the child of another, by name.
    pub fn profiles(&self) -> Result<BTreeMap<String, Loaded>, Error> {
        let mut profiles = BTreeMap::new();
        self.each(|dir, _| {
            profiles.insert(value(dir, "name")?, loaded(dir)?);
            Ok(())
        })?;
        Ok(profiles)
    }

    /// Loads what the parser has compiled. A profile of the same name is replaced at once, for the
    /// processes which it confines already, too.
    pub fn replace(&self, binary: &[u8]) -> Result<(), Error> {
        // The kernel takes a profile in one write or not at all.
        self.write(".replace", binary)?.map_err(Error::Load)
    }

    /// Removes a profile and its children. Processes which it confines are not confined any more.
    pub fn remove(&self, name: &str) -> Result<Removed, Error> {
        match self.write(".remove", name.as_bytes())? {
            Ok(()) => Ok(Removed::Yes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Removed::WasAbsent),
            Err(source) => Err(Error::Remove {
                name: name.to_owned(),
                source,
            }),
        }
    }

    /// Starts to wait for changes. Must be called within a tokio runtime which drives I/O.
    pub fn changes(&self) -> Result<Changes, Error> {
        Changes::new(&self.dir.join("revision")).map_err(Error::Wait)
    }

    /// Calls for the directory of each profile. One which goes meanwhile is not there.
    fn each(
        &self,
        mut visit: impl FnMut(&Path, &str) -> Result<(), io::Error>,
    ) -> Result<(), Error> {
        // `policy` is a link of the kernel's own, which leads each process to what it may see.
        let dir = self.dir.join("policy/profiles");
        let error = |path: &Path, source| Error::Read {
            path: path.display().to_string(),
            source,
        };
        for entry in fs::read_dir(&dir).map_err(|source| error(&dir, source))? {
            let entry = entry.map_err(|source| error(&dir, source))?;
            let name = entry.file_name();
            match visit(&entry.path(), &name.to_string_lossy()) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(error(&entry.path(), source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes once. The inner result is the kernel's answer.
    fn write(&self, file: &str, bytes: &[u8]) -> Result<io::Result<()>, Error> {
        let path = self.dir.join(file);
        let opened = OpenOptions::new().write(true).open(&path);
        let mut file = opened.map_err(|source| Error::Open {
            path: path.display().to_string(),
            source,
        })?;
        Ok(match file.write(bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) => Err(error),
        })
    }
}

fn loaded(dir: &Path) -> io::Result<Loaded> {
    let mode = Mode::parse(&value(dir, "mode")?);
    let mut sum = Sha256::new();
    let hashed = digest(dir, &mut sum, DEPTH_MAX)?;
    Ok(Loaded {
        mode,
        digest: hashed.then(|| sum.finalize().into()),
    })
}

/// Adds what the kernel says of a profile and its children. Says whether it keeps hashes at all.
fn digest(dir: &Path, sum: &mut Sha256, depth: usize) -> io::Result<bool> {
    let mut hashed = false;
    // Of the profile, and of everything that was loaded together with it. Which algorithm it is
    // depends on the version of the kernel.
    for file in ["name", "mode", "sha1", "sha256", "raw_sha1", "raw_sha256"] {
        let value = match value(dir, file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            value => value?,
        };
        hashed |= file.ends_with("sha1") || file.ends_with("sha256");
        sum.update(format!("{file} {} {value}\n", value.len()));
    }
    let children = dir.join("profiles");
    let entries = match fs::read_dir(&children) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(hashed),
        entries => entries?,
    };
    if depth == 0 {
        return Ok(hashed);
    }
    let mut dirs: Vec<PathBuf> = Vec::new();
    for entry in entries {
        dirs.push(entry?.path());
    }
    let mut named = Vec::new();
    for dir in dirs {
        named.push((value(&dir, "name")?, dir));
    }
    // By name: the names of the directories end in a number which grows.
    named.sort_unstable();
    for (_, dir) in named {
        hashed &= digest(&dir, sum, depth - 1)?;
    }
    Ok(hashed)
}

fn value(dir: &Path, file: &str) -> io::Result<String> {
    let mut text = String::new();
    let file = fs::File::open(dir.join(file))?;
    file.take(VALUE_MAX).read_to_string(&mut text)?;
    text.truncate(text.trim_end_matches('\n').len());
    Ok(text)
}

/// Whether a directory can be the one of a profile: the kernel leaves out or replaces what would be
/// awkward in a name, and appends a number.
fn may_be(entry: &str, name: &str) -> bool {
    let Some((stem, number)) = entry.rsplit_once('.') else {
        return false;
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // Other names are compared by the file `name` alone.
    name.starts_with('.') || !name.bytes().all(plain) || stem == name
}

#[cfg(test)]
mod tests;
