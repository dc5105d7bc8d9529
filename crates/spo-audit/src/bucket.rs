//! The JSON enricher: the system calls of a process, gathered for an interval.
//!
//! A bucket is given out one interval after its first record, however busy its process is; or
//! earlier, to make room. Nothing is lost when we stop: [`Buckets::drain`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::arch::Syscall;
use crate::place::{Place, Process};
use crate::record::{Owner, Seccomp};
use crate::stamp::Stamp;

/// A process may call what numbers it likes, and each is a record; there are fewer real ones.
const MAX_SYSCALLS: usize = 1024;

/// The buckets of all processes; bounded.
#[derive(Debug, Clone)]
pub struct Buckets {
    interval: Duration,
    capacity: usize,
    buckets: BTreeMap<Process, Bucket>,
    /// When buckets are due: in the order in which they began. May name buckets that are gone.
    order: VecDeque<(Duration, Process)>,
}

/// What a process did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Which process.
    pub process: Process,
    /// When the first record was made: seconds since 1970, UTC.
    pub seconds: u64,
    /// The program file of the first record.
    pub executable: String,
    /// Whose process it is; `None` is no process that a record can be made of.
    pub owner: Option<Owner>,
    /// What it called.
    pub syscalls: BTreeSet<Syscall>,
    /// What the caller finds out about it.
    pub facts: Facts,
    began: Duration,
}

/// What no audit record says about a process. The caller looks it up once a bucket is new, and the
/// container again as long as it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its arguments, with a space after each.
    pub command_line: Option<String>,
    /// The exec request it came from.
    pub request_uid: Option<String>,
    /// Its container.
    pub place: Option<OwnedPlace>,
}

/// A container, without the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedPlace {
    /// The namespace of the pod.
    pub namespace: String,
    /// The name of the pod.
    pub pod: String,
    /// The name of the container.
    pub container: String,
}

/// What became of a record.
#[derive(Debug)]
pub struct Added<'a> {
    /// The facts of its bucket, to be completed.
    pub facts: &'a mut Facts,
    /// Whether the bucket is new.
    pub is_new: bool,
    /// A bucket that had to make room.
    pub evicted: Option<Bucket>,
}

impl Buckets {
    /// None yet. `interval` is the longest time from a record to its output.
    pub fn new(interval: Duration, capacity: usize) -> Self {
        Self {
            interval,
            capacity: capacity.max(1),
            buckets: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Adds a record of a process. A record of a process that is gone, so that its start is not
    /// known, goes to the youngest bucket with the same pid and program file.
    /// `now` is any clock that does not go back.
    pub fn add(
        &mut self,
        process: Process,
        stamp: &Stamp<'_>,
        seccomp: &Seccomp<'_>,
        now: Duration,
    ) -> Added<'_> {
        let process = self.known(process, seccomp);
        let is_new = !self.buckets.contains_key(&process);
        let evicted = (is_new && self.buckets.len() >= self.capacity)
            .then(|| self.oldest())
            .flatten();
        if is_new {
            self.order.push_back((now, process));
        }
        let bucket = self.buckets.entry(process).or_insert_with(|| Bucket {
            process,
            seconds: stamp.seconds,
            executable: seccomp.executable.to_str().into_owned(),
            owner: seccomp.owner,
            syscalls: BTreeSet::new(),
            facts: Facts::default(),
            began: now,
        });
        if bucket.syscalls.len() < MAX_SYSCALLS {
            bucket.syscalls.insert(seccomp.syscall());
        }
        Added {
            facts: &mut bucket.facts,
            is_new,
            evicted,
        }
    }

    /// Buckets whose interval is over, the oldest first.
    pub fn due(&mut self, now: Duration) -> Vec<Bucket> {
        let mut due = Vec::new();
        while let Some((began, process)) = self.order.front().copied() {
            if now.saturating_sub(began) < self.interval {
                break;
            }
            self.order.pop_front();
            due.extend(self.take(began, process));
        }
        due
    }

    /// When the next bucket is due.
    pub fn next_due(&self) -> Option<Duration> {
        let (began, _) = self.order.front()?;
        Some(began.saturating_add(self.interval))
    }

    /// All buckets, the oldest first: for the end.
    pub fn drain(&mut self) -> Vec<Bucket> {
        std::iter::from_fn(|| self.oldest()).collect()
    }

    /// Buckets that wait.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether no bucket waits.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    fn known(&self, process: Process, seccomp: &Seccomp<'_>) -> Process {
        if process.start.is_some() {
            return process;
        }
        let pid = process.pid;
        let last = Process {
            pid,
            start: Some(u64::MAX),
        };
        self.buckets
            .range(process..=last)
            .filter(|(_, bucket)| seccomp.executable == *bucket.executable)
            .max_by_key(|(_, bucket)| bucket.began)
            .map_or(process, |(process, _)| *process)
    }

    fn oldest(&mut self) -> Option<Bucket> {
        while let Some((began, process)) = self.order.pop_front() {
            if let Some(bucket) = self.take(began, process) {
                return Some(bucket);
            }
        }
        None
    }

    fn take(&mut self, began: Duration, process: Process) -> Option<Bucket> {
        self.buckets
            .get(&process)
            .filter(|bucket| bucket.began == began)?;
        self.buckets.remove(&process)
    }
}

impl OwnedPlace {
    /// The same, borrowed, on a node.
    pub fn on<'a>(&'a self, node: &'a str) -> Place<'a> {
        Place {
            node,
            namespace: &self.namespace,
            pod: &self.pod,
            container: &self.container,
            recording: "",
        }
    }
}
