//! Foreign bytes as audit lines: what is written of them is one line, a program's text is never
//! the kernel's, and a value that the kernel wrote comes back as it was, whatever it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spo_audit::entry::Entry;
use spo_audit::frame::{Kind, Line, Source};
use spo_audit::label::{Mcs, count};
use spo_audit::place::Place;
use spo_audit::reader::Reader;
use spo_audit::record::{Detail, Reporter};

const PLACE: Place<'_> = Place {
    node: "n",
    namespace: "ns",
    pod: "p",
    container: "c",
    recording: "",
};

fn look(line: &Line<'_>) {
    let Ok(Some(record)) = line.record() else {
        return;
    };
    assert_eq!(
        record.reporter == Reporter::Program,
        line.kind == Kind::UserAvc
    );
    let entry = Entry::new(&record, &PLACE, "read");
    let mut out = String::new();
    entry.render(&mut out);
    assert!(!out.contains(char::is_control));
    assert!(out.starts_with("\"audit\" logger=\"log-enricher\" timestamp=\""));
    let _labels = count(&record, &PLACE, "read", Mcs::Strip);
}

/// The kernel's way to write a string.
fn untrusted(bytes: &[u8]) -> Vec<u8> {
    if bytes
        .iter()
        .any(|byte| *byte == b'"' || !(0x21..=0x7e).contains(byte))
    {
        let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
        let digits = |byte: &u8| [digit(byte >> 4), digit(byte & 15)];
        bytes.iter().flat_map(digits).collect()
    } else {
        [b"\"", bytes, b"\""].concat()
    }
}

fuzz_target!(|bytes: &[u8]| {
    for source in [Source::Auditd, Source::Syslog, Source::KernelLog] {
        let mut reader = Reader::new(source);
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Some(line) = reader.read(line) {
                look(&line);
            }
        }
    }
    let mut reader = Reader::new(Source::Auditd);
    for number in [1326, 1400, 1107, 1105] {
        let message = [b"audit(1.000:1): ", bytes].concat();
        if let Some(line) = reader.read_message(number, &message) {
            assert!(number != 1105 || matches!(line.record(), Ok(None)));
            look(&line);
        }
    }
    if bytes.contains(&0) {
        return;
    }
    let value = untrusted(bytes);
    let body = [
        b"audit(1.000:1): auid=0 uid=1 gid=2 ses=3 pid=4 comm=",
        &*value,
        b" exe=",
        &*value,
        b" sig=0 arch=c000003e syscall=5 compat=0 ip=0x0 code=0x7ffc0000",
    ]
    .concat();
    let Some(line) = reader.read_message(1326, &body) else {
        assert!(body.len() > spo_audit::reader::MAX_LINE_BYTES);
        return;
    };
    let record = line.record().expect("it is whole").expect("it is seccomp");
    let Detail::Seccomp(seccomp) = record.detail else {
        panic!("{record:?}");
    };
    assert_eq!(&*seccomp.executable.decode(), bytes);
    assert_eq!((record.pid, seccomp.number), (4, 5));
});
