//! Records of one event, put together: what SELinux denied, and which system call of which program
//! that was.
//!
//! An event is all records with one stamp; records of different events interleave. An event of a
//! system call is complete with its record EOE, or, since auditd keeps that from its file, with
//! PROCTITLE, which the kernel writes last (`audit_log_exit` in kernel/auditsc.c). Others have no
//! end; so an event is given out too when it has waited long enough, or to make room.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::arch::Syscall;
use crate::field::Fields;
use crate::frame::{Kind, Line};
use crate::record::{Malformed, Owner, Record};
use crate::stamp::Stamp;
use crate::text::Text;

/// How much an [`Assembler`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events at a time; the oldest is given out to make room.
    pub events: usize,
    /// Records of one event; further ones are dropped and counted.
    pub records: usize,
    /// Bytes of all records; the oldest event is given out to make room.
    pub bytes: usize,
    /// How long an event waits for its next record.
    pub patience: Duration,
}

/// Puts events together.
#[derive(Debug, Clone)]
pub struct Assembler {
    limits: Limits,
    open: BTreeMap<Id, Event>,
    /// In the order in which they began; may name events that are gone.
    order: VecDeque<Id>,
    bytes: usize,
    dropped: u64,
}

type Id = (u64, u16, u64);

/// The records of one event, kept in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    stamp: String,
    records: Vec<(Kind, Box<[u8]>)>,
    touched: Duration,
    is_complete: bool,
}

/// What the records SYSCALL, CWD and PROCTITLE tell of the process of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventProcess<'a> {
    /// Its number.
    pub pid: u32,
    /// Its parent's.
    pub parent: Option<u32>,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// What it called.
    pub syscall: Option<Syscall>,
    /// The name of the thread.
    pub comm: Option<Text<'a>>,
    /// The program file.
    pub executable: Option<Text<'a>>,
    /// Its working directory.
    pub directory: Option<Text<'a>>,
    /// Its arguments, with a zero byte between two; the kernel keeps the first 128 bytes.
    pub command_line: Option<Text<'a>>,
}

impl Assembler {
    /// One that holds nothing.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            dropped: 0,
        }
    }

    /// Takes a record. Gives an event that is complete, or that had to make room. Text of programs
    /// and types we do not know are passed over. `now` is any clock that does not go back.
    pub fn push(&mut self, line: &Line<'_>, now: Duration) -> Option<Event> {
        if matches!(line.kind, Kind::User | Kind::Other) {
            return None;
        }
        let id = id(&line.stamp)?;
        if line.kind == Kind::EndOfEvent {
            let mut event = self.remove(id)?;
            event.is_complete = true;
            return Some(event);
        }
        let event = self.open.entry(id).or_insert_with(|| {
            self.order.push_back(id);
            Event {
                stamp: line.stamp.text.to_owned(),
                records: Vec::new(),
                touched: now,
                is_complete: false,
            }
        });
        event.touched = now;
        if event.records.len() < self.limits.records {
            event.records.push((line.kind, line.body.into()));
            self.bytes += line.body.len();
        } else {
            self.dropped += 1;
        }
        if line.kind == Kind::Proctitle && event.has(Kind::Syscall) {
            let mut event = self.remove(id)?;
            event.is_complete = true;
            return Some(event);
        }
        if self.order.len() > self.limits.events.saturating_mul(2) {
            // Most of it are events that have been given out.
            self.order.retain(|id| self.open.contains_key(id));
        }
        if self.open.len() > self.limits.events || self.bytes > self.limits.bytes {
            return self.oldest();
        }
        None
    }

    /// Events whose last record is longer ago than the patience.
    pub fn due(&mut self, now: Duration) -> Vec<Event> {
        let patience = self.limits.patience;
        let due: Vec<Id> = self
            .open
            .iter()
            .filter(|(_, event)| now.saturating_sub(event.touched) >= patience)
            .map(|(id, _)| *id)
            .collect();
        due.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Events that are not complete.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether all events are complete.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Records beyond the limit of their event.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn oldest(&mut self) -> Option<Event> {
        while let Some(id) = self.order.pop_front() {
            if let Some(event) = self.remove(id) {
                return Some(event);
            }
        }
        None
    }

    fn remove(&mut self, id: Id) -> Option<Event> {
        let event = self.open.remove(&id)?;
        self.bytes -= event
            .records
            .iter()
            .map(|(_, body)| body.len())
            .sum::<usize>();
        Some(event)
    }
}

impl Event {
    /// Whether the kernel said that nothing follows.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The records about seccomp, SELinux and AppArmor.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'_>, Malformed>> {
        self.lines().filter_map(|line| line.record().transpose())
    }

    /// The process, if there is a record SYSCALL.
    pub fn process(&self) -> Option<EventProcess<'_>> {
        let body = |kind| {
            let mut lines = self.records.iter();
            lines
                .find(|(found, _)| *found == kind)
                .map(|(_, body)| &**body)
        };
        let mut process = process(body(Kind::Syscall)?)?;
        process.directory = body(Kind::Cwd).and_then(|body| text(body, b"cwd"));
        process.command_line = body(Kind::Proctitle).and_then(|body| text(body, b"proctitle"));
        Some(process)
    }

    /// The files that the system call named, by the records PATH.
    pub fn paths(&self) -> impl Iterator<Item = Text<'_>> {
        self.records
            .iter()
            .filter(|(kind, _)| *kind == Kind::Path)
            .filter_map(|(_, body)| text(body, b"name"))
    }

    fn has(&self, kind: Kind) -> bool {
        self.records.iter().any(|(found, _)| *found == kind)
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let stamp = Stamp::parse(&self.stamp);
        self.records.iter().filter_map(move |(kind, body)| {
            Some(Line {
                kind: *kind,
                stamp: stamp?,
                body,
                printed: None,
            })
        })
    }
}

fn id(stamp: &Stamp<'_>) -> Option<Id> {
    Some((stamp.seconds, stamp.millis, stamp.serial?))
}

fn text<'a>(body: &'a [u8], wanted: &[u8]) -> Option<Text<'a>> {
    let (_, value) = Fields::of(body).find(|(key, _)| *key == wanted)?;
    Some(value.text())
}

/// `arch= syscall= … ppid= pid= auid= uid= gid= … comm= exe= subj= key=`: what is of use precedes
/// `subj`, in which foreign text may stand without quotes. So the first counts.
fn process(body: &[u8]) -> Option<EventProcess<'_>> {
    let (mut pid, mut parent, mut uid, mut gid) = (None, None, None, None);
    let (mut arch, mut number, mut comm, mut executable) = (None, None, None, None);
    for (key, value) in Fields::of(body) {
        match key {
            b"arch" => arch = arch.or(value.hexadecimal()),
            b"syscall" => number = number.or(value.number()),
            b"ppid" => parent = parent.or(value.number()),
            b"pid" => pid = pid.or(value.number()),
            b"uid" => uid = uid.or(value.number()),
            b"gid" => gid = gid.or(value.number()),
            b"comm" => comm = comm.or(Some(value.text())),
            b"exe" => executable = executable.or(Some(value.text())),
            b"subj" => break,
            _ => {}
        }
    }
    Some(EventProcess {
        pid: pid?,
        parent,
        owner: uid.zip(gid).map(|(uid, gid)| Owner { uid, gid }),
        syscall: arch
            .zip(number)
            .map(|(arch, number)| Syscall::new(arch, number)),
        comm,
        executable,
        directory: None,
        command_line: None,
    })
}
