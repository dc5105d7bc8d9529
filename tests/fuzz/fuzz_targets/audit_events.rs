//! Records of arbitrary events in arbitrary order: every one comes out with its event, or is
//! counted; and no more is held than the limits say.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use spo_audit::event::{Assembler, Event, Limits};
use spo_audit::frame::Source;
use spo_audit::reader::Reader;

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Decision(u8),
    Syscall(u8, &'a [u8]),
    Proctitle(u8),
    End(u8),
    Raw(&'a [u8]),
    Wait(u8),
}

const LIMITS: Limits = Limits {
    events: 8,
    records: 4,
    bytes: 2000,
    patience: Duration::from_secs(20),
};

const DECISION: &str =
    "avc:  denied  { read } for  pid=5 scontext=a tcontext=b tclass=file permissive=0";

/// Decisions in an event, all of which bear its number.
fn decisions(event: &Event) -> u64 {
    let _any = (event.process(), event.paths().count());
    let mut found = 0;
    for record in event.records().flatten() {
        assert!(record.stamp.serial.is_some());
        found += u64::from(record.pid == 5);
    }
    found
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let mut assembler = Assembler::new(LIMITS);
    let mut reader = Reader::new(Source::Auditd);
    let mut now = Duration::ZERO;
    let (mut sent, mut received, mut raw) = (0, 0, false);
    for step in &steps {
        let text = match step {
            Step::Decision(serial) => {
                sent += 1;
                format!("type=AVC msg=audit(1.000:{serial}): {DECISION}").into_bytes()
            }
            Step::Syscall(serial, rest) => {
                let head = format!("type=SYSCALL msg=audit(1.000:{serial}): arch=c000003e pid=");
                [head.as_bytes(), rest].concat()
            }
            Step::Proctitle(serial) => {
                format!("type=PROCTITLE msg=audit(1.000:{serial}): proctitle=2F").into_bytes()
            }
            Step::End(serial) => format!("type=EOE msg=audit(1.000:{serial}):").into_bytes(),
            Step::Raw(bytes) => {
                raw = true;
                bytes.to_vec()
            }
            Step::Wait(secs) => {
                now += Duration::from_secs((*secs).into());
                let due = assembler.due(now);
                received += due.iter().map(decisions).sum::<u64>();
                continue;
            }
        };
        if let Some(line) = reader.read(&text) {
            let given = assembler.push(&line, now);
            received += given.as_ref().map_or(0, decisions);
        }
        assert!(assembler.len() <= LIMITS.events);
    }
    let rest = assembler.due(now + LIMITS.patience);
    received += rest.iter().map(decisions).sum::<u64>();
    assert!(assembler.is_empty());
    // Raw lines may be decisions too.
    if !raw {
        assert!(received <= sent && sent <= received + assembler.dropped());
    }
});
