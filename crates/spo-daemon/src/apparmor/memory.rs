//! What this node has loaded into its kernel, remembered over restarts of the daemon.
//!
//! Without it every start would compile every profile again to find out whether the kernel has it.
//! It is a memory, not a truth: what it says of a profile holds only as long as the kernel's own
//! digest of that profile is still the same. A row is also the proof that the profile is ours.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use spo_host::apparmor::kernel::Digest;
use spo_process::chain::chain;
use spo_process::tasks::Shutdown;
use tokio::sync::Notify;
use tracing::warn;

use crate::files::{Files, Found};

/// The file in the operator directory. No profile has it: theirs end in `.json`.
const FILE: &str = "apparmor-loaded";

/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_secs(1);

/// Of a text, and of the parser that compiles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Of `text`, compiled by a parser which says it is `parser`.
    pub(super) fn of(text: &str, parser: &str) -> Self {
        let mut sum = Sha256::new();
        for part in [parser, text] {
            sum.update(part.len().to_le_bytes());
            sum.update(part);
        }
        Self(sum.finalize().into())
    }
}

/// A profile that was loaded from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) key: Key,
    /// The kernel's, when it was read back.
    pub(super) digest: Option<Digest>,
    /// Whether that was since the machine has booted.
    pub(super) this_boot: bool,
}

/// The memory.
#[derive(Clone)]
pub(super) struct Memory(Arc<Shared>);

struct Shared {
    files: Files,
    boot: Option<String>,
    rows: Mutex<BTreeMap<String, Remembered>>,
    changed: Notify,
}

impl Memory {
    /// Nothing, until [`Memory::recall`].
    pub(super) fn new(files: Files, boot: Option<String>) -> Self {
        Self(Arc::new(Shared {
            files,
            boot,
            rows: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Takes in what a daemon before this one has left. One that can not be read costs time only.
    pub(super) async fn recall(&self) {
        let bytes = match self.0.files.read(FILE).await {
            Ok(Found::File(bytes)) => bytes,
            Ok(Found::Absent | Found::Strange) => return,
            Err(error) => {
                warn!(error = %chain(&error), "cannot read which AppArmor profiles were loaded");
                return;
            }
        };
        match serde_json::from_slice::<Stored>(&bytes) {
            Ok(stored) => *self.rows() = stored.rows(self.0.boot.as_deref()),
            Err(error) => warn!(%error, "cannot read which AppArmor profiles were loaded"),
        }
    }

    pub(super) fn get(&self, profile: &str) -> Option<Remembered> {
        self.rows().get(profile).copied()
    }

    /// The names of the profiles that were loaded from here.
    pub(super) fn names(&self) -> Vec<String> {
        self.rows().keys().cloned().collect()
    }

    pub(super) fn loaded(&self, profile: &str, key: Key, digest: Option<Digest>) {
        let row = Remembered {
            key,
            digest,
            this_boot: true,
        };
        self.rows().insert(profile.to_owned(), row);
        self.0.changed.notify_one();
    }

    pub(super) fn unloaded(&self, profile: &str) {
        if self.rows().remove(profile).is_some() {
            self.0.changed.notify_one();
        }
    }

    /// Writes what has changed, until shutdown and then once more.
    pub(super) async fn keep(self, mut shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = self.0.changed.notified() => {}
                () = shutdown.asked() => break,
            }
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = shutdown.asked() => break,
            }
            self.write().await;
        }
        self.write().await;
    }

    async fn write(&self) {
        let stored = Stored::of(&self.rows(), self.0.boot.as_deref());
        let bytes = match serde_json::to_vec(&stored) {
            Ok(bytes) => bytes,
            Err(error) => {
                warn!(%error, "cannot remember which AppArmor profiles are loaded");
                return;
            }
        };
        if let Err(error) = self.0.files.write(FILE, bytes).await {
            warn!(error = %chain(&error), "cannot remember which AppArmor profiles are loaded");
        }
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<String, Remembered>> {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    /// The boot in which it was written.
    boot: Option<String>,
    profiles: BTreeMap<String, Row>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    key: String,
    digest: Option<String>,
    /// Whether it was loaded in that boot.
    this_boot: bool,
}

impl Stored {
    fn of(rows: &BTreeMap<String, Remembered>, boot: Option<&str>) -> Self {
        let row = |row: &Remembered| Row {
            key: hex(&row.key.0),
            digest: row.digest.as_ref().map(|digest| hex(digest)),
            this_boot: row.this_boot,
        };
        Self {
            boot: boot.map(str::to_owned),
            profiles: rows
                .iter()
                .map(|(name, old)| (name.clone(), row(old)))
                .collect(),
        }
    }

    /// Rows which are not as they were written are left out.
    fn rows(self, boot: Option<&str>) -> BTreeMap<String, Remembered> {
        let same_boot = boot.is_some() && self.boot.as_deref() == boot;
        let row = |row: Row| {
            let digest = match row.digest {
                Some(digest) => Some(unhex(&digest)?),
                None => None,
            };
            Some(Remembered {
                key: Key(unhex(&row.key)?),
                digest,
                this_boot: same_boot && row.this_boot,
            })
        };
        let rows = self.profiles.into_iter();
        rows.filter_map(|(name, old)| Some((name, row(old)?)))
            .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_of_the_text_and_the_parser() {
        let key = Key::of("text", "3.0");
        assert_eq!(key, Key::of("text", "3.0"));
        assert_ne!(key, Key::of("text", "4.0"));
        assert_ne!(key, Key::of("text3", ".0"));
    }

    #[test]
    fn what_is_stored_comes_back_and_knows_its_boot() {
        let row = |this_boot, digest| Remembered {
            key: Key::of("text", "3.0"),
            digest,
            this_boot,
        };
        let rows = BTreeMap::from([
            ("web".to_owned(), row(true, Some([7; 32]))),
            ("db".to_owned(), row(true, None)),
            ("old".to_owned(), row(false, None)),
        ]);
        let stored = || {
            let bytes = serde_json::to_vec(&Stored::of(&rows, Some("boot-1"))).unwrap();
            serde_json::from_slice::<Stored>(&bytes).unwrap()
        };
        assert_eq!(stored().rows(Some("boot-1")), rows);
        for other in [Some("boot-2"), None] {
            let back = stored().rows(other);
            assert_eq!(back.len(), 3);
            assert!(back.values().all(|row| !row.this_boot), "{other:?}");
            assert_eq!(back["web"].digest, Some([7; 32]));
        }
    }

    #[test]
    fn a_row_that_was_tampered_with_is_none() {
        for key in ["", "zz", &"g".repeat(64), &"ä".repeat(32)] {
            let stored = Stored {
                boot: None,
                profiles: BTreeMap::from([(
                    "web".to_owned(),
                    Row {
                        key: key.to_owned(),
                        digest: None,
                        this_boot: true,
                    },
                )]),
            };
            assert!(stored.rows(None).is_empty(), "{key}");
        }
    }
}
