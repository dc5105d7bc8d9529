//! The machines that are fed: what they give out, when, and what they hold.
#![expect(clippy::unwrap_used, reason = "a test helper may panic like a test")]

use std::time::Duration;

use spo_audit::arch::{Arch, Syscall};
use spo_audit::bucket::{Bucket, Buckets, OwnedPlace};
use spo_audit::dedup::{self, Dedup};
use spo_audit::entry::Entry;
use spo_audit::event::{Assembler, Event, Limits};
use spo_audit::filter::{Filters, Verdict};
use spo_audit::frame::{Line, Source};
use spo_audit::json::JsonRecord;
use spo_audit::label::{Count, Mcs, count};
use spo_audit::place::{Place, Process};
use spo_audit::reader::Reader;
use spo_audit::record::{Detail, Record};

const PLACE: Place<'_> = Place {
    node: "127.0.0.1",
    namespace: "default",
    pod: "my-pod",
    container: "redis",
    recording: "",
};

fn line(text: &str) -> Line<'_> {
    Reader::new(Source::Auditd).read(text.as_bytes()).unwrap()
}

fn record(text: &str) -> Record<'_> {
    line(text).record().unwrap().unwrap()
}

fn seccomp_text(stamp: &str, pid: u32, exe: &str, syscall: u32) -> String {
    format!(
        "type=SECCOMP msg=audit({stamp}): auid=0 uid=7 gid=8 ses=1 pid={pid} comm=\"a\" exe=\"{exe}\" sig=0 arch=c000003e syscall={syscall} compat=0 ip=0x0 code=0x7ffc0000"
    )
}

fn selinux_text(stamp: &str, permission: &str) -> String {
    format!(
        "type=AVC msg=audit({stamp}): avc:  denied  {{ {permission} }} for  pid=5 comm=\"a\" scontext=u:r:a:s0:c1,c2 tcontext=u:r:b:s0 tclass=file permissive=0"
    )
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn name(syscall: Syscall) -> Option<&'static str> {
    match (syscall.arch, syscall.number) {
        (Arch::X86_64, 59) => Some("execve"),
        (Arch::X86_64, 56) => Some("clone"),
        (Arch::X86, 120) => Some("clone"),
        _ => None,
    }
}

#[test]
fn the_contracts_line() {
    let text = seccomp_text(
        "1625486870.273:187492",
        1847839,
        "/usr/local/bin/redis-server",
        232,
    );
    let mut out = String::new();
    Entry::new(&record(&text), &PLACE, "epoll_wait").render(&mut out);
    assert_eq!(
        out,
        r#""audit" logger="log-enricher" timestamp="1625486870.273:187492" type="seccomp" node="127.0.0.1" namespace="default" pod="my-pod" container="redis" executable="/usr/local/bin/redis-server" pid=1847839 syscallID=232 syscallName="epoll_wait""#
    );
}

#[test]
fn rules_see_the_fields_of_a_line() {
    let text = seccomp_text("1.000:1", 9, "/a", 50);
    let entry = Entry::new(&record(&text), &PLACE, "listen");
    for (key, value, expected) in [
        ("syscallID", "50", Verdict::Drop),
        ("syscallName", "listen", Verdict::Drop),
        ("executable", "/a", Verdict::Drop),
        ("type", "seccomp", Verdict::Drop),
        ("type", "selinux", Verdict::Emit),
        ("profile", "", Verdict::Emit),
    ] {
        let rule =
            format!(r#"[{{"level":"None","matchKeys":["{key}"],"matchValues":["{value}"]}}]"#);
        let (filters, _) = Filters::parse(&rule).unwrap();
        assert_eq!(filters.decide(&entry), expected, "{key} {value}");
    }
}

#[test]
fn records_count_in_their_series() {
    let series = |text: &str, mcs| match count(&record(text), &PLACE, "listen", mcs) {
        Count::Seccomp(labels) => labels.join("|"),
        Count::Selinux(labels) => labels.join("|"),
        Count::AppArmor(labels) => labels.join("|"),
    };
    let seccomp = seccomp_text("1.000:1", 9, "/a", 50);
    let selinux = selinux_text("1.000:1", "read");
    let app_armor = "type=AVC msg=audit(1.000:1): apparmor=\"DENIED\" operation=\"open\" profile=6D792070 name=\"/x\" pid=9 comm=\"a\"";
    let place = "127.0.0.1|default|my-pod|redis";
    assert_eq!(series(&seccomp, Mcs::Keep), format!("{place}|listen"));
    assert_eq!(
        series(&selinux, Mcs::Keep),
        format!("{place}|u:r:a:s0:c1,c2|u:r:b:s0")
    );
    assert_eq!(
        series(&selinux, Mcs::Strip),
        format!("{place}|u:r:a:s0|u:r:b:s0")
    );
    assert_eq!(
        series(app_armor, Mcs::Strip),
        format!("{place}|my p|open|DENIED")
    );
}

fn table(rows: usize) -> Dedup {
    Dedup::new(dedup::Limits {
        rows,
        bytes: 10 * rows.max(100),
        idle: secs(60),
    })
}

/// Feeds a line and gives what is to be written.
fn observe(dedup: &mut Dedup, container: &str, text: &str, now: u64) -> Option<String> {
    let written = dedup.observe(container, &record(text), secs(now), |out| {
        out.push_str("line")
    });
    written.map(str::to_owned)
}

#[test]
fn the_first_line_is_written_and_the_others_are_counted() {
    let mut dedup = table(100);
    let again = |stamp: &str, pid| seccomp_text(stamp, pid, "/a", 59);
    assert_eq!(
        observe(&mut dedup, "c1", &again("1.000:1", 9), 0).as_deref(),
        Some("line")
    );
    assert_eq!(observe(&mut dedup, "c1", &again("2.000:2", 10), 1), None);
    assert_eq!(observe(&mut dedup, "c1", &again("3.000:3", 11), 2), None);
    assert_eq!(
        dedup.flush(secs(10)),
        [r#"line firstSeen="1.000:1" lastSeen="3.000:3" count=3"#]
    );
    // Nothing new, nothing written; the count goes on after that.
    assert_eq!(dedup.flush(secs(20)), [] as [String; 0]);
    assert_eq!(observe(&mut dedup, "c1", &again("4.000:4", 9), 30), None);
    assert_eq!(
        dedup.flush(secs(40)),
        [r#"line firstSeen="1.000:1" lastSeen="4.000:4" count=4"#]
    );
    // After a while it is news again.
    assert_eq!(dedup.flush(secs(90)), [] as [String; 0]);
    assert!(dedup.is_empty());
    assert!(observe(&mut dedup, "c1", &again("5.000:5", 9), 91).is_some());
}

#[test]
fn lines_differ_by_container_verdict_and_subject() {
    let mut dedup = table(1000);
    let app_armor = |verdict: &str, name: &str| {
        format!(
            "type=AVC msg=audit(1.000:1): apparmor=\"{verdict}\" operation=\"open\" profile=\"p\" name={name} pid=9 comm=\"a\" requested_mask=\"r\""
        )
    };
    let texts = [
        seccomp_text("1.000:1", 9, "/a", 59),
        seccomp_text("1.000:1", 9, "/a", 60),
        seccomp_text("1.000:1", 9, "/a", 60).replace("7ffc0000", "80000000"),
        seccomp_text("1.000:1", 9, "/a", 60).replace("c000003e", "40000003"),
        selinux_text("1.000:1", "read"),
        selinux_text("1.000:1", "write"),
        app_armor("DENIED", "\"/x\""),
        app_armor("ALLOWED", "\"/x\""),
        app_armor("DENIED", "\"/y\""),
    ];
    for container in ["c1", "c2"] {
        for text in &texts {
            assert!(observe(&mut dedup, container, text, 0).is_some(), "{text}");
        }
        for text in &texts {
            assert_eq!(observe(&mut dedup, container, text, 0), None, "{text}");
        }
    }
    // The form on the line is no difference.
    assert_eq!(
        observe(&mut dedup, "c1", &app_armor("DENIED", "2F78"), 0),
        None
    );
    assert_eq!(dedup.len(), 2 * texts.len());
}

#[test]
fn a_full_table_loses_nothing() {
    let mut dedup = table(1);
    let (first, second) = (
        seccomp_text("1.000:1", 9, "/a", 59),
        seccomp_text("1.000:1", 9, "/a", 60),
    );
    assert!(observe(&mut dedup, "c", &first, 0).is_some());
    assert!(observe(&mut dedup, "c", &second, 0).is_some());
    assert!(observe(&mut dedup, "c", &second, 0).is_some());
    assert_eq!(observe(&mut dedup, "c", &first, 0), None);
    assert_eq!((dedup.len(), dedup.untracked()), (1, 2));
}

#[test]
fn long_lines_fill_the_table_too() {
    let mut dedup = table(100);
    let text = |name: char| {
        let name = name.to_string().repeat(600);
        format!(
            "type=AVC msg=audit(1.000:1): apparmor=\"DENIED\" operation=\"open\" profile=\"p\" name=\"{name}\" pid=9 comm=\"a\""
        )
    };
    assert!(observe(&mut dedup, "c", &text('a'), 0).is_some());
    assert!(observe(&mut dedup, "c", &text('b'), 0).is_some());
    assert_eq!((dedup.len(), dedup.untracked()), (1, 1));
    // There is room again once the first has left.
    dedup.flush(secs(60));
    assert!(observe(&mut dedup, "c", &text('b'), 61).is_some());
    assert_eq!(observe(&mut dedup, "c", &text('b'), 61), None);
}

/// Adds a record to the bucket of its process; whether it is new, and what it made go.
fn add(buckets: &mut Buckets, text: &str, start: Option<u64>, now: u64) -> (bool, Option<Bucket>) {
    let record = record(text);
    let Detail::Seccomp(seccomp) = record.detail else {
        panic!("{record:?}");
    };
    let pid = record.pid;
    let added = buckets.add(Process { pid, start }, &record.stamp, &seccomp, secs(now));
    (added.is_new, added.evicted)
}

#[test]
fn a_busy_process_is_given_out_after_one_interval() {
    let mut buckets = Buckets::new(secs(60), 10);
    for now in 0..60 {
        let (is_new, _) = add(
            &mut buckets,
            &seccomp_text("100.000:1", 9, "/a", 59),
            Some(1),
            now,
        );
        assert_eq!(is_new, now == 0);
        assert!(buckets.due(secs(now)).is_empty());
    }
    assert_eq!(buckets.next_due(), Some(secs(60)));
    let due = buckets.due(secs(60));
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].seconds, due[0].syscalls.len()), (100, 1));
    assert!(buckets.is_empty());
    assert!(
        add(
            &mut buckets,
            &seccomp_text("160.000:1", 9, "/a", 59),
            Some(1),
            61
        )
        .0
    );
}

#[test]
fn processes_are_told_apart_by_their_start() {
    let mut buckets = Buckets::new(secs(60), 10);
    let text = |exe: &str| seccomp_text("100.000:1", 9, exe, 59);
    assert!(add(&mut buckets, &text("/a"), Some(1), 0).0);
    assert!(add(&mut buckets, &text("/b"), Some(2), 1).0);
    // Gone too soon: it is the youngest that fits.
    assert!(!add(&mut buckets, &text("/a"), None, 2).0);
    assert!(add(&mut buckets, &text("/c"), None, 3).0);
    assert_eq!(buckets.len(), 3);
}

#[test]
fn buckets_make_room_and_drain_in_order() {
    let mut buckets = Buckets::new(secs(60), 2);
    let text = |pid| seccomp_text("100.000:1", pid, "/a", 59);
    assert!(add(&mut buckets, &text(1), Some(1), 0).1.is_none());
    assert!(add(&mut buckets, &text(2), Some(1), 1).1.is_none());
    let (_, evicted) = add(&mut buckets, &text(3), Some(1), 2);
    assert_eq!(evicted.unwrap().process.pid, 1);
    let rest: Vec<u32> = buckets
        .drain()
        .iter()
        .map(|bucket| bucket.process.pid)
        .collect();
    assert_eq!(rest, [2, 3]);
    assert!(buckets.is_empty() && buckets.next_due().is_none());
}

#[test]
fn a_process_that_makes_up_numbers_is_bounded() {
    let mut buckets = Buckets::new(secs(60), 2);
    for number in 0..3000 {
        add(
            &mut buckets,
            &seccomp_text("100.000:1", 9, "/a", number),
            Some(1),
            0,
        );
    }
    assert_eq!(buckets.drain()[0].syscalls.len(), 1024);
}

/// A bucket as in the contract's example.
fn bucket() -> Bucket {
    let mut buckets = Buckets::new(secs(60), 10);
    let text = seccomp_text("1700000000.999:45", 20411, "/bin/busybox", 59);
    for text in [
        &text,
        &text.replace("syscall=59", "syscall=56"),
        &text.replace("=59", "=9999"),
    ] {
        add(&mut buckets, text, Some(1), 0);
    }
    buckets.drain().remove(0)
}

fn json(bucket: &Bucket) -> String {
    let mut out = String::new();
    let record = JsonRecord::new(bucket, "worker-1", name).unwrap();
    record.render("7f0e3c8e-6b0f-4b0a-9c0e-2f1f7f3f9d11", &mut out);
    out
}

#[test]
fn the_contracts_json() {
    let mut bucket = bucket();
    bucket.facts.command_line = Some("sh -c ls ".to_owned());
    bucket.facts.request_uid = Some("0b2f2a30-52a5-4f67-9a42-6f0c6a1d7e55".to_owned());
    bucket.facts.place = Some(OwnedPlace {
        namespace: "default".to_owned(),
        pod: "my-pod".to_owned(),
        container: "nginx".to_owned(),
    });
    assert_eq!(
        json(&bucket),
        r#"{"auditID":"7f0e3c8e-6b0f-4b0a-9c0e-2f1f7f3f9d11","cmdLine":"sh -c ls ","executable":"/bin/busybox","gid":8,"node":{"name":"worker-1"},"pid":20411,"requestUID":"0b2f2a30-52a5-4f67-9a42-6f0c6a1d7e55","resource":{"container":"nginx","namespace":"default","pod":"my-pod"},"syscalls":["clone","execve"],"timestamp":"2023-11-14T22:13:20.000Z","uid":7,"version":"spo/v1_alpha"}"#
    );
}

#[test]
fn what_is_not_known_is_null_or_left_out() {
    let mut bucket = bucket();
    bucket.syscalls.clear();
    assert_eq!(
        json(&bucket),
        r#"{"auditID":"7f0e3c8e-6b0f-4b0a-9c0e-2f1f7f3f9d11","cmdLine":"","executable":"/bin/busybox","gid":8,"node":{"name":"worker-1"},"pid":20411,"resource":null,"syscalls":null,"timestamp":"2023-11-14T22:13:20.000Z","uid":7,"version":"spo/v1_alpha"}"#
    );
    bucket.seconds = u64::MAX;
    assert!(JsonRecord::new(&bucket, "n", name).is_none());
    bucket.seconds = 0;
    bucket.owner = None;
    assert!(JsonRecord::new(&bucket, "n", name).is_none());
}

#[test]
fn foreign_text_stays_inside_its_string() {
    let mut bucket = bucket();
    bucket.facts.command_line = Some("sh -c \"a\n\u{0}<b>\" ".to_owned());
    bucket.executable = "\",\"requestUID\":\"forged".to_owned();
    let json = json(&bucket);
    assert!(!json.contains('\n'));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["cmdLine"], "sh -c \"a\n\u{0}<b>\" ");
    assert_eq!(value["executable"], "\",\"requestUID\":\"forged");
    assert!(value.get("requestUID").is_none());
}

#[test]
fn names_of_two_architectures_are_written_once() {
    let mut bucket = bucket();
    bucket.syscalls.insert(Syscall {
        arch: Arch::X86,
        number: 120,
    });
    assert!(json(&bucket).contains(r#""syscalls":["clone","execve"]"#));
}

#[test]
fn rules_see_the_fields_of_a_json_record() {
    let mut bucket = bucket();
    let matches = |bucket: &Bucket, key: &str, values: &str| {
        let rule =
            format!(r#"[{{"level":"None","matchKeys":["{key}"],"matchValues":[{values}]}}]"#);
        let record = JsonRecord::new(bucket, "worker-1", name).unwrap();
        Filters::parse(&rule).unwrap().0.decide(&record) == Verdict::Drop
    };
    for (key, values) in [
        ("auditID", ""),
        ("cmdLine", ""),
        ("resource", ""),
        ("version", "\"spo/v1_alpha\""),
        ("uid", "\"1\",\"7\""),
        ("gid", "\"8\""),
        ("pid", "\"20411\""),
        ("node/name", "\"worker-1\""),
        ("syscalls", "\"execve\""),
        ("executable", "\"/bin/busybox\""),
        ("timestamp", "\"2023-11-14T22:13:20.000Z\""),
    ] {
        assert!(matches(&bucket, key, values), "{key} {values}");
    }
    for (key, values) in [
        ("requestUID", ""),
        ("resource/pod", ""),
        ("syscalls", "\"exec\""),
        ("resource", "\"x\""),
        ("nothing", ""),
    ] {
        assert!(!matches(&bucket, key, values), "{key} {values}");
    }
    bucket.facts.place = Some(OwnedPlace {
        namespace: "default".to_owned(),
        pod: "my-pod".to_owned(),
        container: "nginx".to_owned(),
    });
    bucket.facts.request_uid = Some("u".to_owned());
    assert!(matches(&bucket, "resource/pod", "\"my-pod\""));
    assert!(matches(&bucket, "requestUID", "\"u\""));
}

fn assembler(events: usize) -> Assembler {
    Assembler::new(Limits {
        events,
        records: 3,
        bytes: 2000,
        patience: secs(2),
    })
}

fn syscall_text(serial: u32) -> String {
    format!(
        "type=SYSCALL msg=audit(1.000:{serial}): arch=c000003e syscall=257 success=no exit=-13 ppid=1 pid=5 auid=0 uid=7 gid=8 comm=\"cat\" exe=\"/bin/cat\" subj=x pid=6 exe=\"/forged\" key=(null)"
    )
}

fn push(assembler: &mut Assembler, text: &str, now: u64) -> Option<Event> {
    assembler.push(&line(text), secs(now))
}

#[test]
fn interleaved_records_find_their_event() {
    let mut assembler = assembler(10);
    let texts = [
        selinux_text("1.000:1", "read"),
        selinux_text("1.000:2", "write"),
        syscall_text(1),
        syscall_text(2),
        "type=CWD msg=audit(1.000:1): cwd=\"/tmp\"".to_owned(),
    ];
    for text in &texts {
        assert_eq!(push(&mut assembler, text, 0), None);
    }
    let second = push(&mut assembler, "type=EOE msg=audit(1.000:2): ", 0).unwrap();
    let first = push(&mut assembler, "type=EOE msg=audit(1.000:1): ", 0).unwrap();
    assert!(assembler.is_empty());
    for (event, permission) in [(&first, "read"), (&second, "write")] {
        assert!(event.is_complete());
        let records: Vec<_> = event.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 1);
        assert!(
            matches!(records[0].detail, Detail::Selinux(avc) if avc.permissions == *permission)
        );
        let process = event.process().unwrap();
        assert_eq!(process.pid, 5);
        assert_eq!(process.executable.unwrap().to_str(), "/bin/cat");
    }
    assert_eq!(first.process().unwrap().directory.unwrap().to_str(), "/tmp");
    assert_eq!(second.process().unwrap().directory, None);
}

#[test]
fn an_event_without_end_is_given_out_in_time() {
    let mut assembler = assembler(10);
    push(&mut assembler, &selinux_text("1.000:1", "read"), 0);
    push(&mut assembler, &selinux_text("1.000:2", "read"), 1);
    push(&mut assembler, &selinux_text("1.000:1", "write"), 1);
    assert!(assembler.due(secs(2)).is_empty());
    push(&mut assembler, &selinux_text("1.000:2", "write"), 2);
    let due = assembler.due(secs(3));
    assert_eq!(due.len(), 1);
    assert!(!due[0].is_complete());
    assert_eq!(due[0].records().count(), 2);
    assert_eq!(assembler.len(), 1);
}

#[test]
fn an_assembler_is_bounded() {
    let mut assembler = assembler(2);
    let mut given = 0;
    for serial in 0..100 {
        for permission in ["a", "b", "c", "d"] {
            let text = selinux_text(&format!("1.000:{serial}"), permission);
            if let Some(event) = push(&mut assembler, &text, 0) {
                assert_eq!(event.records().count(), 3);
                given += 1;
            }
        }
        assert!(assembler.len() <= 2);
    }
    assert_eq!((given, assembler.dropped()), (98, 100));
    // What nobody asks about is not held.
    for text in [
        "type=USER_START msg=audit(1.000:900): pid=1 msg=''",
        "type=EOE msg=audit(1.000:901):",
        "type=BPF msg=audit(1.000:902): prog-id=1",
    ] {
        assert_eq!(push(&mut assembler, text, 0), None);
    }
    assert_eq!(assembler.len(), 2);
}

#[test]
fn long_records_fill_an_assembler_too() {
    let mut assembler = assembler(10);
    let text = |serial| selinux_text(&format!("1.000:{serial}"), &"a".repeat(900));
    assert_eq!(push(&mut assembler, &text(1), 0), None);
    let given = push(&mut assembler, &text(2), 0).unwrap();
    assert_eq!(
        given.records().next().unwrap().unwrap().stamp.serial,
        Some(1)
    );
    assert_eq!(assembler.due(secs(2)).len(), 1);
    assert_eq!(push(&mut assembler, &text(3), 3), None);
}
