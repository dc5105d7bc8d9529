//! The corpus: lines of real machines and forged ones, and what we read in them.
//!
//! A file of `tests/corpus` is named after its source (`README.md` there says where it is from);
//! beside it stands `NAME.SOURCE.expected`, with one line for each of its own.
//! `UPDATE_GOLDEN=1 cargo test -p spo-audit` writes what is read; read it before committing.
#![expect(clippy::print_stderr, reason = "a test says what differs")]
#![expect(clippy::unwrap_used, reason = "a test helper may panic like a test")]
#![expect(
    clippy::disallowed_methods,
    reason = "the purity contract is for the crate, not its tests"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use spo_audit::entry::Entry;
use spo_audit::event::{Assembler, Event, Limits};
use spo_audit::frame::{Line, Source};
use spo_audit::place::Place;
use spo_audit::reader::Reader;
use spo_audit::record::{Detail, Malformed, Record, Reporter};

const PLACE: Place<'_> = Place {
    node: "n",
    namespace: "ns",
    pod: "p",
    container: "c",
    recording: "r",
};

/// A file of the corpus, line by line.
struct Case {
    path: PathBuf,
    /// `None` is the audit socket: each line is a number and a message, with `\n` for a line end.
    source: Option<Source>,
    lines: Vec<Vec<u8>>,
}

fn corpus() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let cases: Vec<Case> = paths
        .into_iter()
        .filter_map(|path| {
            let source = match path.extension()?.to_str()? {
                "auditd" => Some(Source::Auditd),
                "syslog" => Some(Source::Syslog),
                "kernel-log" => Some(Source::KernelLog),
                "netlink" => None,
                _ => return None,
            };
            let bytes = fs::read(&path).unwrap();
            let lines = bytes
                .strip_suffix(b"\n")
                .unwrap()
                .split(|byte| *byte == b'\n');
            let lines = lines.map(<[u8]>::to_vec).collect();
            Some(Case {
                path,
                source,
                lines,
            })
        })
        .collect();
    assert!(cases.len() > 10, "the corpus is not there");
    cases
}

/// Reads a line of a case; `message` is room for what a line of the audit socket stands for.
fn read<'a>(
    case: &Case,
    reader: &mut Reader,
    line: &'a [u8],
    message: &'a mut Vec<u8>,
) -> Option<Line<'a>> {
    if case.source.is_some() {
        return reader.read(line);
    }
    let text = str::from_utf8(line).unwrap();
    let (number, text) = text.split_once(' ').unwrap();
    let text = text.replace("\\n", "\n").replace("\\'", "'");
    *message = text.into_bytes();
    reader.read_message(number.parse().unwrap(), message)
}

fn show(record: &Result<Option<Record<'_>>, Malformed>, out: &mut String) {
    let record = match record {
        Ok(Some(record)) => record,
        Ok(None) => return out.push_str("another record"),
        Err(malformed) => return out.push_str(&malformed.to_string()),
    };
    if record.reporter == Reporter::Program {
        write!(out, "program {} says: ", record.pid).unwrap();
    }
    let mut name = String::new();
    if let Detail::Seccomp(seccomp) = &record.detail {
        let syscall = seccomp.syscall();
        name = format!("{:?} {} {}", syscall.arch, syscall.number, seccomp.action());
        write!(
            out,
            "{:?} ",
            seccomp.owner.map(|owner| (owner.uid, owner.gid))
        )
        .unwrap();
    }
    if let Detail::Selinux(avc) = &record.detail {
        let verdict = avc.verdict.to_str();
        write!(out, "{verdict} {} {} ", record.pid, avc.permissive).unwrap();
    }
    Entry::new(record, &PLACE, &name).render(out);
}

/// Whether the file beside the case says the same.
fn is_golden(case: &Case, suffix: &str, found: &str) -> bool {
    let mut golden = case.path.clone().into_os_string();
    golden.push(suffix);
    if std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
        fs::write(&golden, found).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    for (found, expected) in found.lines().zip(expected.lines()) {
        if found != expected {
            eprintln!("{golden:?}\n- {expected}\n+ {found}");
        }
    }
    found == expected
}

#[test]
fn lines_are_read_as_written_down() {
    let mut stale = Vec::new();
    for case in corpus() {
        let mut reader = Reader::new(case.source.unwrap_or(Source::Auditd));
        let mut out = String::new();
        for line in &case.lines {
            let mut message = Vec::new();
            match read(&case, &mut reader, line, &mut message) {
                Some(line) => show(&line.record(), &mut out),
                None => out.push('-'),
            }
            out.push('\n');
        }
        let lost = reader.serials().lost();
        writeln!(out, "{:?} lost: {lost}", reader.counts()).unwrap();
        if !is_golden(&case, ".expected", &out) {
            stale.push(case.path);
        }
    }
    assert_eq!(
        stale,
        [] as [PathBuf; 0],
        "run with UPDATE_GOLDEN=1 and read the difference"
    );
}

#[test]
fn records_of_one_event_come_together() {
    for case in corpus() {
        let name = case.path.file_name().unwrap().to_str().unwrap();
        if !name.contains("with-syscall") {
            continue;
        }
        let limits = Limits {
            events: 100,
            records: 32,
            bytes: 1 << 20,
            patience: Duration::from_secs(1),
        };
        let mut assembler = Assembler::new(limits);
        let mut reader = Reader::new(Source::Auditd);
        let mut events = Vec::new();
        for line in &case.lines {
            let line = reader.read(line).unwrap();
            events.extend(assembler.push(&line, Duration::ZERO));
        }
        events.extend(assembler.due(Duration::from_secs(1)));
        let mut out = String::new();
        events.iter().for_each(|event| show_event(event, &mut out));
        assert!(is_golden(&case, ".events.expected", &out), "{name}");
    }
}

fn show_event(event: &Event, out: &mut String) {
    writeln!(out, "event, complete: {}", event.is_complete()).unwrap();
    for record in event.records() {
        show(&record.map(Some), out);
        out.push('\n');
    }
    writeln!(out, "  {:?}", event.process()).unwrap();
    for path in event.paths() {
        writeln!(out, "  {path:?}").unwrap();
    }
}
