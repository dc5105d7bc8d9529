//! How many lines a second one core reads, decides about and writes out, from memory.
//!
//! `cargo bench -p spo-audit`. The mix is the one of which other parsers' numbers are known: 60 %
//! SECCOMP, 15 % AVC of SELinux, 10 % AppArmor, 5 % SECCOMP as the kernel prints it, 10 % others.
#![expect(
    clippy::disallowed_types,
    reason = "the purity contract is for the crate, not its bench"
)]
#![expect(clippy::print_stdout, reason = "a bench prints its numbers")]
#![expect(clippy::unwrap_used, reason = "a bench may panic like a test")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use spo_audit::dedup::{self, Dedup};
use spo_audit::entry::Entry;
use spo_audit::filter::{Filters, Verdict};
use spo_audit::frame::Source;
use spo_audit::label::{Mcs, count};
use spo_audit::place::Place;
use spo_audit::reader::{MAX_LINE_BYTES, Reader};
use spo_audit::record::Record;

const LINES: usize = 200_000;
const ROUNDS: usize = 5;
/// Short enough to end before another program gets the processor.
const RUN: usize = 500;

const PLACE: Place<'_> = Place {
    node: "worker-1",
    namespace: "default",
    pod: "web-5d4f8c7b9-abcde",
    container: "nginx",
    recording: "",
};

fn seccomp(text: &mut String, i: usize) {
    let (pid, millis, syscall) = (1000 + i % 30_000, i % 1000, i % 350);
    writeln!(text, "type=SECCOMP msg=audit(1613596317.{millis:03}:{i}): auid=4294967295 uid=0 gid=0 ses=4294967295 subj=system_u:system_r:spc_t:s0:c1,c2 pid={pid} comm=\"nginx\" exe=\"/usr/sbin/nginx\" sig=0 arch=c000003e syscall={syscall} compat=0 ip=0x7f8a2b code=0x7ffc0000").unwrap();
}

fn mix(text: &mut String, i: usize) {
    let (pid, millis) = (1000 + i % 30_000, i % 1000);
    match i % 20 {
        0..12 => seccomp(text, i),
        12..15 => writeln!(text, "type=AVC msg=audit(1613173578.{millis:03}:{i}): avc:  denied  {{ read write }} for  pid={pid} comm=\"nc\" path=\"/var/x\" dev=\"sda1\" ino=42 scontext=system_u:system_r:container_t:s0:c4,c808 tcontext=system_u:object_r:http_port_t:s0 tclass=tcp_socket permissive=0").unwrap(),
        15..17 => writeln!(text, "type=AVC msg=audit(1668191154.{millis:03}:{i}): apparmor=\"DENIED\" operation=\"open\" profile=\"test-profile\" name=\"/etc/shadow\" pid={pid} comm=\"cat\" requested_mask=\"r\" denied_mask=\"r\" fsuid=0 ouid=0").unwrap(),
        17 => writeln!(text, "audit: type=1326 audit(1613596317.{millis:03}:{i}): auid=0 uid=0 gid=0 ses=1 pid={pid} comm=\"sh\" exe=\"/bin/sh\" sig=0 arch=c000003e syscall=59 compat=0 ip=0x7f code=0x7ffc0000").unwrap(),
        _ => ignored(text, i),
    }
}

fn ignored(text: &mut String, i: usize) {
    let (pid, millis) = (1000 + i % 30_000, i % 1000);
    writeln!(text, "type=USER_START msg=audit(1613596317.{millis:03}:{i}): pid={pid} uid=0 auid=0 ses=3 msg='op=PAM:session_open grantors=pam_unix acct=\"root\" exe=\"/usr/sbin/crond\" hostname=? addr=? terminal=cron res=success'").unwrap();
}

fn lines(line: fn(&mut String, usize)) -> String {
    let mut text = String::new();
    (0..LINES).for_each(|i| line(&mut text, i));
    text
}

/// Reads a text line by line and hands each record on. Time is that of the fastest of many short
/// runs, so that other programs on the machine do not count.
fn measure(name: &str, text: &str, mut each: impl FnMut(&Record<'_>)) {
    let lines: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
    let mut best = Duration::MAX;
    let mut records = 0;
    for _round in 0..ROUNDS {
        let mut reader = Reader::new(Source::Auditd);
        records = 0;
        for run in lines.chunks(RUN) {
            let start = Instant::now();
            for line in run {
                let record = reader.read(line).and_then(|line| line.record().unwrap());
                if let Some(record) = black_box(record) {
                    records += 1;
                    each(&record);
                }
            }
            if run.len() == RUN {
                best = best.min(start.elapsed());
            }
        }
        assert_eq!(reader.serials().lost(), 0);
    }
    let per_line = best.as_nanos() as f64 / RUN as f64;
    let mib = text.len() as f64 / lines.len() as f64 / per_line * 1e9 / f64::from(1 << 20);
    println!(
        "{name:32} {records:7} records {per_line:6.0} ns/line {:5.2} M lines/s {mib:5.0} MiB/s",
        1000.0 / per_line
    );
}

/// Lines as long as they may be, made to be slow for whoever goes back or looks twice.
fn worst() {
    let envelope = "type=SECCOMP msg=audit(1.000:1): ";
    let decision = "type=AVC msg=audit(1.000:1): avc:  denied  { read } for  ";
    let app_armor = "type=AVC msg=audit(1.000:1): apparmor=\"DENIED\" ";
    let program = "type=USER_AVC msg=audit(1.000:1): pid=1 ";
    for (head, piece) in [
        ("", "type=SECCOMP msg=audit("),
        (envelope, " pid="),
        (envelope, "a=\"\" "),
        (envelope, "== "),
        (decision, "scontext=a "),
        (decision, "{ } "),
        (app_armor, "name=4142 "),
        (app_armor, "\"=\""),
        (program, " msg='avc: { "),
        ("", "<"),
        ("", "node= "),
    ] {
        let mut line = head.to_owned();
        while line.len() + piece.len() <= MAX_LINE_BYTES {
            line.push_str(piece);
        }
        let mut best = Duration::MAX;
        for _round in 0..200 {
            let mut reader = Reader::new(Source::Auditd);
            let start = Instant::now();
            let read = reader.read(black_box(line.as_bytes()));
            black_box(read.map(|line| line.record().is_ok()));
            best = best.min(start.elapsed());
        }
        let mib = line.len() as f64 / best.as_secs_f64() / f64::from(1 << 20);
        println!(
            "worst: {head}{piece}…  {:6.1} µs a line, {mib:.0} MiB/s",
            best.as_secs_f64() * 1e6
        );
    }
}

fn main() {
    let seccomp = lines(seccomp);
    let mixed = lines(mix);
    measure("seccomp: read", &seccomp, |_| {});
    measure("mix: read", &mixed, |_| {});
    measure("ignored: read", &lines(ignored), |_| {});

    let rules = r#"[{"priority":1,"level":"None","matchKeys":["syscallID"],"matchValues":["50","51"]},{"priority":2,"level":"None","matchKeys":["namespace"],"matchValues":["kube-system"]}]"#;
    let (filters, _) = Filters::parse(rules).unwrap();
    measure("seccomp: read, filter", &seccomp, |record| {
        black_box(filters.decide(&Entry::new(record, &PLACE, "read")));
    });
    measure("seccomp: read, labels", &seccomp, |record| {
        black_box(count(record, &PLACE, "read", Mcs::Strip));
    });
    let mut out = String::new();
    measure("seccomp: read, filter, write", &seccomp, |record| {
        let entry = Entry::new(record, &PLACE, "read");
        if filters.decide(&entry) == Verdict::Emit {
            out.clear();
            entry.render(&mut out);
            black_box(&out);
        }
    });
    worst();
    let mut dedup = Dedup::new(dedup::Limits {
        rows: 4096,
        bytes: 4 << 20,
        idle: Duration::from_secs(60),
    });
    let id = "a".repeat(64);
    measure("seccomp: read, deduplicate", &seccomp, |record| {
        let entry = Entry::new(record, &PLACE, "read");
        let line = dedup.observe(&id, record, Duration::ZERO, |out| entry.render(out));
        black_box(line);
    });
}
