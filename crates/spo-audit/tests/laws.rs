//! Laws: what the kernel writes is what we read, whatever stands in a value.
//!
//! The kernel's way to write a value is written down here a second time.
#![expect(clippy::unwrap_used, reason = "a test helper may panic like a test")]

use proptest::prelude::*;
use spo_audit::arch::{Arch, Syscall};
use spo_audit::entry::Entry;
use spo_audit::frame::Source;
use spo_audit::place::Place;
use spo_audit::proc;
use spo_audit::reader::Reader;
use spo_audit::record::{Detail, Record, Reporter};
use spo_audit::serial::Serials;
use spo_audit::stamp::Stamp;

/// Pieces of text that would be fields, envelopes or ends, if somebody took them for such.
const PIECES: [&str; 20] = [
    "a",
    "/usr/bin/x",
    " ",
    "\"",
    "'",
    "=",
    "\n",
    "\u{1d}",
    "pid=1",
    " pid=1 ",
    "uid=7",
    "exe=\"/x\"",
    "type=SECCOMP ",
    "audit(1.000:1): ",
    "msg=",
    "avc:  denied  { x } for ",
    "}",
    "apparmor=\"DENIED\"",
    "ü",
    "4142",
];

fn foreign() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(&PIECES[..]), 0..6)
            .prop_map(|pieces| pieces.concat().into_bytes()),
        prop::collection::vec(1_u8..=255, 0..24),
    ]
}

/// `audit_log_n_untrustedstring`: quotes, or hexadecimal if there is something in it that could
/// mislead.
fn untrusted(bytes: &[u8]) -> Vec<u8> {
    let is_misleading = |byte: &u8| *byte == b'"' || *byte < 0x21 || *byte > 0x7e;
    if bytes.iter().any(is_misleading) {
        bytes
            .iter()
            .flat_map(|byte| format!("{byte:02X}").into_bytes())
            .collect()
    } else {
        [b"\"", bytes, b"\""].concat()
    }
}

/// The envelopes in which one record reaches us.
fn envelopes(number: u16, name: &str, body: &[u8]) -> Vec<(Option<Source>, Vec<u8>)> {
    let line = |head: &str, tail: &str| [head.as_bytes(), body, tail.as_bytes()].concat();
    let kernel = format!("audit: type={number} audit(1700000000.123:45): ");
    let auditd = format!("type={name} msg=audit(1700000000.123:45): ");
    let syslog = format!("Nov 14 22:13:20 w kernel: [   12.000345] {kernel}");
    let iso = format!("2023-11-14T22:13:20.123+00:00 w kernel: {kernel}");
    vec![
        (None, line("audit(1700000000.123:45): ", "\0")),
        (Some(Source::Auditd), line(&auditd, "")),
        (
            Some(Source::Auditd),
            line(&auditd, "\u{1d}UID=\"root\" pid=1"),
        ),
        (
            Some(Source::Auditd),
            line(&format!("node=w {auditd}"), "\n"),
        ),
        (Some(Source::Syslog), line(&syslog, "\n")),
        (Some(Source::Syslog), line(&iso, "")),
        (
            Some(Source::KernelLog),
            line(&format!("5,1,2,-;{kernel}"), ""),
        ),
        (
            Some(Source::KernelLog),
            line(&format!("<5>[   12.000345] {kernel}"), ""),
        ),
    ]
}

/// Checks a record in each envelope.
fn read_everywhere(number: u16, name: &str, body: &[u8], check: impl Fn(Record<'_>)) {
    for (source, bytes) in envelopes(number, name, body) {
        let mut reader = Reader::new(source.unwrap_or(Source::Auditd));
        let line = match source {
            Some(_) => reader.read(&bytes),
            None => reader.read_message(number, &bytes),
        };
        let record = line.unwrap().record().unwrap().unwrap();
        assert_eq!(record.stamp.text, "1700000000.123:45");
        assert_eq!(record.reporter, Reporter::Kernel);
        check(record);
    }
}

proptest! {
    #[test]
    fn a_seccomp_record_is_what_the_kernel_wrote(
        comm in foreign(), exe in foreign(), pid: u32, uid: u32, gid: u32, number in 0..0x4000_0000_u32, code: u32,
        // A label stands as it is; none has a byte that ends a line or begins an enrichment.
        subj in prop::option::of("[ -~]{0,40}| pid=1 comm=\"a\" exe=\"/x\" arch=16 syscall=1 code=0x0|x uid=7 gid=7 b=\""),
    ) {
        let subj = subj.map(|subj| format!(" subj={subj}")).unwrap_or_default();
        let body = [
            format!("auid=4294967295 uid={uid} gid={gid} ses=1{subj} pid={pid} comm=").as_bytes(),
            &untrusted(&comm),
            b" exe=",
            &untrusted(&exe),
            format!(" sig=0 arch=c000003e syscall={number} compat=0 ip=0x7f code=0x{code:x}").as_bytes(),
        ]
        .concat();
        read_everywhere(1326, "SECCOMP", &body, |record| {
            let Detail::Seccomp(found) = record.detail else { panic!("{record:?}") };
            assert_eq!(record.pid, pid);
            assert_eq!(&*found.executable.decode(), &*exe);
            assert_eq!(found.syscall(), Syscall { arch: Arch::X86_64, number });
            assert_eq!(found.code, code);
            assert_eq!(found.owner.map(|owner| (owner.uid, owner.gid)), Some((uid, gid)));
        });
    }

    #[test]
    fn a_decision_of_selinux_is_what_the_kernel_wrote(
        comm in foreign(), path in foreign(), pid: u32, permissive: bool,
        context in "[a-z_]{1,9}:[a-z_]{1,9}:[a-z_.]{1,20}:s0(:c[0-9]{1,4},c[0-9]{1,4})?",
        permissions in prop::collection::vec("[a-z_]{1,12}|0x[0-9a-f]{1,6}", 1..4),
    ) {
        let permissions = permissions.join(" ");
        let body = [
            format!("avc:  denied  {{ {permissions} }} for  pid={pid} comm=").as_bytes(),
            &untrusted(&comm),
            b" path=",
            &untrusted(&path),
            format!(
                " dev=\"sda1\" ino=7 scontext={context} tcontext=u:object_r:t:s0 tclass=file permissive={}",
                u8::from(permissive)
            )
            .as_bytes(),
        ]
        .concat();
        read_everywhere(1400, "AVC", &body, |record| {
            let Detail::Selinux(found) = record.detail else { panic!("{record:?}") };
            assert_eq!((record.pid, found.permissive), (pid, permissive));
            assert!(found.permissions == *permissions && found.verdict == *"denied");
            assert!(found.scontext == *context && found.tcontext == *"u:object_r:t:s0");
            assert!(found.tclass == *"file");
        });
    }

    #[test]
    fn a_decision_of_apparmor_is_what_the_kernel_wrote(
        comm in foreign(), name in prop::option::of(foreign()), profile in foreign(), pid: u32, stacked: bool,
    ) {
        let field = |key: &str, value: &[u8]| [key.as_bytes(), &untrusted(value)].concat();
        let body = [
            b"apparmor=\"DENIED\" operation=\"open\" class=\"file\" info=\"Failed name lookup - x\" error=-13".to_vec(),
            field(if stacked { " label=" } else { " profile=" }, &profile),
            name.as_ref().map(|name| field(" name=", name)).unwrap_or_default(),
            format!(" pid={pid} comm=").into_bytes(),
            untrusted(&comm),
            b" requested_mask=\"r\" denied_mask=\"r\" fsuid=0 ouid=0".to_vec(),
        ]
        .concat();
        read_everywhere(1400, "AVC", &body, |record| {
            let Detail::AppArmor(found) = record.detail else { panic!("{record:?}") };
            assert_eq!(record.pid, pid);
            assert_eq!(&*found.profile.decode(), &*profile);
            assert_eq!(&*found.name.decode(), name.as_deref().unwrap_or_default());
            assert_eq!(&*found.comm.decode(), &*comm);
            assert_eq!(found.extra.to_str(), "requested_mask='r' denied_mask='r' fsuid=0 ouid=0");
        });
    }

    #[test]
    fn text_of_a_program_is_no_record_of_the_kernel(text in foreign(), number in prop_oneof![1100..=1199_u16, 2100..=2999_u16]) {
        // Through the socket the text arrives as it is; auditd writes spaces for line ends.
        let body = [b"audit(1.000:1): pid=9 uid=0 auid=0 ses=1 msg='", &*text, b"'"].concat();
        let mut reader = Reader::new(Source::Auditd);
        let line = reader.read_message(number, &body).unwrap();
        if let Ok(Some(record)) = line.record() {
            prop_assert_eq!((record.reporter, record.pid), (Reporter::Program, 9));
        }
        let one_line: Vec<u8> = text.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
        let body = [b"type=USER_AVC msg=audit(1.000:1): pid=9 uid=0 auid=0 ses=1 msg='", &*one_line, b"'"].concat();
        let line = reader.read(&body).unwrap();
        if let Ok(Some(record)) = line.record() {
            prop_assert_eq!((record.reporter, record.pid), (Reporter::Program, 9));
        }
    }

    #[test]
    fn a_written_line_is_one_line_and_its_quotes_are_balanced(exe in foreign(), pod in ".*") {
        let body = [
            b"type=SECCOMP msg=audit(1.000:1): pid=0 x pid=9 comm=\"a\" exe=",
            &*untrusted(&exe),
            b" sig=0 arch=c000003e syscall=1 compat=0 ip=0x0 code=0x7ffc0000",
        ]
        .concat();
        let mut reader = Reader::new(Source::Auditd);
        let record = reader.read(&body).unwrap().record().unwrap().unwrap();
        let place = Place { node: "n", namespace: "ns", pod: &pod, container: "c", recording: "" };
        let mut out = String::new();
        Entry::new(&record, &place, "read").render(&mut out);
        prop_assert!(out.chars().all(|char| !char.is_control() && char != '\u{2028}' && char != '\u{202e}'), "{out}");
        // Without what is escaped, every quote begins or ends a value.
        let plain = out.replace("\\\\", "").replace("\\\"", "");
        let keys: Vec<&str> = plain
            .split('"')
            .step_by(2)
            .flat_map(str::split_whitespace)
            .filter_map(|word| word.split_once('=').map(|(key, _)| key))
            .collect();
        prop_assert_eq!(keys, ["logger", "timestamp", "type", "node", "namespace", "pod", "container", "executable", "pid", "syscallID", "syscallName"]);
    }

    #[test]
    fn nothing_is_too_strange_to_be_read(bytes: Vec<u8>, pieces in foreign(), number: u16) {
        for source in [Source::Auditd, Source::Syslog, Source::KernelLog] {
            let mut reader = Reader::new(source);
            for bytes in [&bytes, &pieces] {
                if let Some(line) = reader.read(bytes) {
                    let _any = line.record();
                }
                if let Some(line) = reader.read_message(number, bytes) {
                    let _any = line.record();
                }
            }
            let counts = reader.counts();
            prop_assert_eq!(counts.records + counts.other + counts.too_long + counts.forged, 4);
        }
    }

    #[test]
    fn every_serial_that_never_came_is_counted(missing in prop::collection::btree_set(1..900_u64, 0..200), swaps in prop::collection::vec(1..1000_usize, 0..50)) {
        let mut serials: Vec<u64> = (0..1000).filter(|serial| !missing.contains(serial)).collect();
        // Neighbors overtake each other.
        for at in swaps {
            let at = at % (serials.len() - 1);
            if at > 0 {
                serials.swap(at, at + 1);
            }
        }
        let mut counter = Serials::default();
        for serial in serials {
            counter.observe(&Stamp { seconds: 1, millis: 0, serial: Some(serial), text: "" });
        }
        prop_assert_eq!(counter.lost(), missing.len() as u64);
    }

    #[test]
    fn a_container_is_found_where_its_id_stands(
        before in "(/[a-z.-]{1,12}){0,4}", id in "[0-9a-f]{64}", prefix in "(docker-|crio-|cri-containerd-|libpod-|x:y:)?", suffix in "(\\.scope)?(/[a-z]{1,9})?",
    ) {
        let cgroup = format!("1:misc:/\n0::{before}/{prefix}{id}{suffix}\n");
        let found = proc::containers(cgroup.as_bytes());
        prop_assert_eq!(found.iter().map(|found| found.container_id).collect::<Vec<_>>(), [&*id]);
    }

    #[test]
    fn what_proc_says_is_never_too_strange(bytes: Vec<u8>, pieces in foreign()) {
        for bytes in [&bytes, &pieces] {
            for found in proc::containers(bytes) {
                prop_assert_eq!(found.container_id.len(), 64);
            }
            let _any = proc::start_time(1, bytes);
            if let Some(uid) = proc::request_uid(bytes, bytes) {
                prop_assert!(uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            }
        }
    }
}
