//! Lines that say the same: the first is written, the others are counted.
//!
//! Two lines say the same if container, verdict and subject are equal. The subject is what the
//! policy would have to name: a system call; permissions, contexts and class; operation, profile,
//! object and what else AppArmor says. Time, process and program file are not part of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::quote;
use crate::record::{Detail, Record};

/// How much a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows in all.
    pub rows: usize,
    /// Bytes of all rows, nearly: a line may be long, and its row holds it twice.
    pub bytes: usize,
    /// A row leaves when nothing came for so long.
    pub idle: Duration,
}

/// The table of what was seen; bounded.
#[derive(Debug, Clone)]
pub struct Dedup {
    rows: BTreeMap<Box<[u8]>, Row>,
    limits: Limits,
    bytes: usize,
    untracked: u64,
    key: Vec<u8>,
    text: String,
}

#[derive(Debug, Clone)]
struct Row {
    text: String,
    first: String,
    last: String,
    count: u64,
    /// Lines since the last summary.
    news: u64,
    touched: Duration,
}

impl Dedup {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            rows: BTreeMap::new(),
            limits,
            bytes: 0,
            untracked: 0,
            key: Vec::new(),
            text: String::new(),
        }
    }

    /// Takes a record of a container. Gives the line to write, if it is the first of its kind, or
    /// if the table is full: nothing is lost then, only written out.
    ///
    /// `render` appends the line; it is called only if the line is wanted. `now` is any clock that
    /// does not go back.
    pub fn observe(
        &mut self,
        container_id: &str,
        record: &Record<'_>,
        now: Duration,
        render: impl FnOnce(&mut String),
    ) -> Option<&str> {
        self.key.clear();
        write_key(&mut self.key, container_id, record);
        if let Some(row) = self.rows.get_mut(self.key.as_slice()) {
            row.last.clear();
            row.last.push_str(record.stamp.text);
            row.count += 1;
            row.news += 1;
            row.touched = now;
            return None;
        }
        self.text.clear();
        render(&mut self.text);
        let size = self.key.len() + self.text.len();
        if self.rows.len() >= self.limits.rows || self.bytes + size > self.limits.bytes {
            self.untracked += 1;
        } else {
            self.bytes += size;
            let row = Row {
                text: self.text.clone(),
                first: record.stamp.text.to_owned(),
                last: record.stamp.text.to_owned(),
                count: 1,
                news: 0,
                touched: now,
            };
            self.rows.insert(self.key.as_slice().into(), row);
        }
        Some(&self.text)
    }

    /// Summaries of what came again since the last flush: the first line of its kind, with
    /// `firstSeen`, `lastSeen` and `count` (since `firstSeen`). Idle rows leave.
    pub fn flush(&mut self, now: Duration) -> Vec<String> {
        let mut summaries = Vec::new();
        let idle = self.limits.idle;
        let bytes = &mut self.bytes;
        self.rows.retain(|key, row| {
            if row.news > 0 {
                summaries.push(row.summary());
                row.news = 0;
            }
            let stays = now.saturating_sub(row.touched) < idle;
            if !stays {
                *bytes -= key.len() + row.text.len();
            }
            stays
        });
        summaries
    }

    /// Lines written out because the table was full.
    pub fn untracked(&self) -> u64 {
        self.untracked
    }

    /// Rows in the table.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Row {
    fn summary(&self) -> String {
        let mut text = self.text.clone();
        text.push_str(" firstSeen=");
        quote::for_log(&mut text, &self.first);
        text.push_str(" lastSeen=");
        quote::for_log(&mut text, &self.last);
        // Writing to a String can not fail.
        let _infallible = write!(text, " count={}", self.count);
        text
    }
}

/// Parts of a key are told apart by their lengths, so that no text can move from one to the next.
fn write_key(key: &mut Vec<u8>, container_id: &str, record: &Record<'_>) {
    part(key, container_id.bytes());
    part(key, record.detail.type_name().bytes());
    match &record.detail {
        Detail::Seccomp(seccomp) => {
            part(key, seccomp.code.to_be_bytes());
            part(key, seccomp.arch.to_be_bytes());
            part(key, seccomp.number.to_be_bytes());
        }
        Detail::Selinux(avc) => {
            part(key, [u8::from(avc.permissive)]);
            for text in [
                avc.verdict,
                avc.permissions,
                avc.scontext,
                avc.tcontext,
                avc.tclass,
            ] {
                part(key, text.bytes());
            }
        }
        Detail::AppArmor(app_armor) => {
            for text in [
                app_armor.verdict,
                app_armor.operation,
                app_armor.profile,
                app_armor.name,
                app_armor.extra,
            ] {
                part(key, text.bytes());
            }
        }
    }
}

fn part(key: &mut Vec<u8>, bytes: impl IntoIterator<Item = u8>) {
    let start = key.len();
    key.extend([0; 4]);
    key.extend(bytes);
    let length = u32::try_from(key.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(slot) = key.get_mut(start..start + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}
