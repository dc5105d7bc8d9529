//! The guest's audit log, which auditd writes.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use spo_test_apiserver::wait::eventually;

use crate::rig::SOON;

const LOG: &str = "/var/log/audit/audit.log";

/// A place in the log.
#[derive(Debug, Clone, Copy)]
pub struct Mark(u64);

/// The end of the log as it is now.
pub fn mark() -> Mark {
    Mark(std::fs::metadata(LOG).unwrap().len())
}

impl Mark {
    /// The records since.
    pub fn records(self) -> Vec<String> {
        let mut log = File::open(LOG).unwrap();
        log.seek(SeekFrom::Start(self.0)).unwrap();
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        // Behind 0x1d are the numbers of the record once more, as names.
        let plain = |line: &str| line.split('\u{1d}').next().unwrap_or_default().to_owned();
        text.lines().map(plain).collect()
    }

    /// Waits for a record with all these parts.
    pub async fn record(self, parts: &[&str]) -> String {
        eventually(
            SOON,
            &format!("an audit record with {parts:?}"),
            async || {
                let records = self.records();
                let found = records.iter().find(|record| has_all(record, parts));
                found.cloned().ok_or_else(|| records.join("\n"))
            },
        )
        .await
    }

    /// Whether there is no record with all these parts. A record is written soon and not at once:
    /// ask after [`Mark::record`] has found a later one.
    pub fn has_none(self, parts: &[&str]) -> bool {
        !self.records().iter().any(|record| has_all(record, parts))
    }
}

fn has_all(record: &str, parts: &[&str]) -> bool {
    parts.iter().all(|part| record.contains(part))
}
