//! Pure. From the lines of a source to the lines of the log enricher.
//!
//! Every record goes through here once: parse, find the container of its process, find the pod of
//! the container, filter, write. What can not be decided yet waits for a pod event, not for another
//! line; nothing on the way asks the API server.
//!
//! A process is in the outermost container that is a pod's: what is nested in it, or pretends to be,
//! does not count, and a control group which says that it is of another pod than the index says is
//! not believed. As long as the outermost container is unknown, so is the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::watcher::Event;
use spo_audit::backlog::{Backlog, Limits};
use spo_audit::dedup::{self, Dedup};
use spo_audit::entry::Entry;
use spo_audit::filter::{Filters, Verdict};
use spo_audit::frame::{Line, Source};
use spo_audit::place::Place;
use spo_audit::reader::Reader;
use spo_audit::record::{Detail, Record, Reporter};

use crate::index::Index;
use crate::lru::Lru;
use crate::pod::{Home, Pod};
use crate::tally::Tally;
use crate::whose::{Candidates, Whose};
use crate::world::World;

/// A container of which no pod event has come for so long is none of a pod. A kubelet that has much
/// to do says seconds late what it has started.
const STRANGE_AFTER: Duration = Duration::from_mins(1);
/// Containers known to be none of a pod, and how long that is remembered.
const STRANGERS_MOST: usize = 1000;
const STRANGERS_FOR: Duration = Duration::from_hours(1);
/// What lines that say the same are kept in.
const DEDUP: dedup::Limits = dedup::Limits {
    rows: 4096,
    bytes: 4 << 20,
    idle: Duration::from_hours(1),
};

/// What a source gives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Raw<'a> {
    /// A line of a file.
    Line(&'a [u8]),
    /// A message of the audit socket: its type, and its text.
    Message(u16, &'a [u8]),
}

/// What users decide.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) node: String,
    pub(crate) filters: Filters,
    /// How often lines that say the same are summed up, if at all.
    pub(crate) deduplicate: Option<Duration>,
}

pub(crate) struct Pipeline {
    told: Told,
    reader: Reader,
    /// Reads once more what has waited: it was counted and believed the first time.
    again: Reader,
    whose: Whose,
    index: Index,
    backlog: Backlog<Candidates, Kept>,
    /// Since when is waited.
    since: BTreeMap<Candidates, Duration>,
    strangers: Lru<Box<str>, ()>,
    dedup: Option<(Dedup, Duration)>,
    tally: Tally,
    out: String,
}

/// A line that waits.
#[derive(Debug, Clone)]
struct Kept {
    /// The type of a message of the audit socket.
    number: Option<u16>,
    text: Box<[u8]>,
}

enum Owner {
    Pod(Box<str>, Arc<Home>),
    Unknown,
    Stranger,
}

impl Pipeline {
    /// `source` says how lines are framed; messages of the audit socket need none.
    pub(crate) fn new(told: Told, source: Source) -> Self {
        let dedup = told.deduplicate.is_some();
        Self {
            told,
            reader: Reader::new(source),
            again: Reader::new(source),
            whose: Whose::new(),
            index: Index::new(),
            backlog: Backlog::new(Limits::CONTRACT),
            since: BTreeMap::new(),
            strangers: Lru::new(STRANGERS_MOST, STRANGERS_FOR),
            dedup: dedup.then(|| (Dedup::new(DEDUP), Duration::ZERO)),
            tally: Tally::default(),
            out: String::new(),
        }
    }

    /// Takes what a source gives. `now` is any clock that does not go back.
    pub(crate) fn read(&mut self, raw: Raw<'_>, now: Duration, world: &mut impl World) {
        let Some(line) = raw.line(&mut self.reader) else {
            return;
        };
        let record = match line.record() {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(_counted) => {
                self.tally.malformed += 1;
                return;
            }
        };
        if record.reporter == Reporter::Program {
            self.tally.told_by_programs += 1;
            return;
        }
        let Some(candidates) = self.whose.find(record.pid, now, world) else {
            self.tally.process_gone += 1;
            return;
        };
        if candidates.is_empty() {
            self.tally.of_the_host += 1;
            return;
        }
        match self.owner(&candidates, now) {
            Owner::Pod(id, home) => self.write(&record, &id, &home, now, world),
            Owner::Stranger => self.tally.of_no_pod += 1,
            Owner::Unknown => {
                let kept = Kept::of(raw);
                let size = kept.text.len();
                self.since.entry(Arc::clone(&candidates)).or_insert(now);
                self.backlog.push(candidates, kept, size, now);
                // What the backlog has dropped to make room need not be waited for.
                while self.since.len() > 2 * Limits::CONTRACT.keys {
                    self.since.pop_first();
                }
            }
        }
    }

    /// Takes an event of the node's pods, and writes what has waited for it.
    pub(crate) fn pod(&mut self, event: Event<Pod>, now: Duration, world: &mut impl World) {
        let news = self.index.take(event, now);
        for id in &news {
            self.strangers.remove(id);
        }
        let is_news = |key: &&Candidates| key.iter().any(|one| news.contains(&one.id));
        let keys: Vec<Candidates> = self.backlog.keys().filter(is_news).cloned().collect();
        for key in keys {
            let Owner::Pod(id, home) = self.owner(&key, now) else {
                continue;
            };
            self.since.remove(&key);
            for kept in self.backlog.take(&key) {
                if let Some(line) = kept.raw().line(&mut self.again)
                    && let Ok(Some(record)) = line.record()
                {
                    self.write(&record, &id, &home, now, world);
                }
            }
        }
    }

    /// To be called now and then, such as every second.
    pub(crate) fn tick(&mut self, now: Duration, world: &mut impl World) {
        self.backlog.expire(now);
        if self.index.is_complete() {
            let is_strange = |since: &Duration| now.saturating_sub(*since) >= STRANGE_AFTER;
            let strange = self.since.extract_if(.., |_, since| is_strange(since));
            for (key, _) in strange {
                self.tally.of_no_pod += self.backlog.take(&key).len() as u64;
                for one in key.iter() {
                    self.strangers.insert(one.id.clone(), (), now);
                }
            }
        }
        if let (Some((dedup, flushed)), Some(every)) = (&mut self.dedup, self.told.deduplicate)
            && now.saturating_sub(*flushed) >= every
        {
            *flushed = now;
            for summary in dedup.flush(now) {
                push_line(&mut self.out, world, &summary);
            }
        }
    }

    /// The lines to write so far, which the caller takes.
    pub(crate) fn out(&mut self) -> &mut String {
        &mut self.out
    }

    /// What was not written so far, and why. `overruns` is what the source knows.
    pub(crate) fn tally(&self) -> Tally {
        let counts = self.reader.counts();
        Tally {
            lost: self.reader.serials().lost(),
            forged: counts.forged,
            too_long: counts.too_long,
            not_waited_for: self.backlog.dropped(),
            ..self.tally
        }
    }

    fn owner(&mut self, candidates: &Candidates, now: Duration) -> Owner {
        let mut strange = true;
        for one in candidates.iter() {
            if let Some(home) = self.index.find(&one.id, now) {
                let is_of = |uid: &str| home.is_of(uid);
                if one.pod_uid.as_deref().is_none_or(is_of) {
                    return Owner::Pod(one.id.clone(), home);
                }
            }
            if self.strangers.get(&one.id, now).is_none() {
                if one.pod_uid.is_some() {
                    return Owner::Unknown;
                }
                strange = false;
            }
        }
        if strange {
            Owner::Stranger
        } else {
            Owner::Unknown
        }
    }

    fn write(
        &mut self,
        record: &Record<'_>,
        container_id: &str,
        home: &Home,
        now: Duration,
        world: &mut impl World,
    ) {
        let mut name: Arc<str> = Arc::default();
        if let Detail::Seccomp(seccomp) = &record.detail {
            let Some(found) = world.name(seccomp.syscall()) else {
                self.tally.without_name += 1;
                return;
            };
            name = found;
        }
        let place = Place {
            node: &self.told.node,
            namespace: &home.namespace,
            pod: &home.pod,
            container: &home.container,
            recording: &home.recording,
        };
        let entry = Entry::new(record, &place, &name);
        if self.told.filters.decide(&entry) == Verdict::Drop {
            return;
        }
        match &mut self.dedup {
            None => {
                world.header(&mut self.out);
                entry.render(&mut self.out);
                self.out.push('\n');
            }
            Some((dedup, _)) => {
                let first = dedup.observe(container_id, record, now, |out| entry.render(out));
                if let Some(line) = first {
                    push_line(&mut self.out, world, line);
                }
            }
        }
    }
}

fn push_line(out: &mut String, world: &mut impl World, line: &str) {
    world.header(out);
    out.push_str(line);
    out.push('\n');
}

impl<'a> Raw<'a> {
    fn line(self, reader: &mut Reader) -> Option<Line<'a>> {
        match self {
            Self::Line(line) => reader.read(line),
            Self::Message(number, text) => reader.read_message(number, text),
        }
    }
}

impl Kept {
    fn of(raw: Raw<'_>) -> Self {
        let (number, text) = match raw {
            Raw::Line(line) => (None, line),
            Raw::Message(number, text) => (Some(number), text),
        };
        Self {
            number,
            text: text.into(),
        }
    }

    fn raw(&self) -> Raw<'_> {
        match self.number {
            None => Raw::Line(&self.text),
            Some(number) => Raw::Message(number, &self.text),
        }
    }
}

#[cfg(test)]
mod tests;
