//! Tests of the pipeline, with a world that is a table.

use spo_audit::arch::Syscall;

use super::*;
use crate::pod::tests::pod;
use crate::world::Answer;

const UID: &str = "11111111-2222-3333-4444-555555555555";
const OTHER_UID: &str = "11111111-2222-3333-4444-666666666666";
const NOW: Duration = Duration::ZERO;

/// Processes with their start times and control groups.
#[derive(Default)]
struct Table {
    processes: BTreeMap<u32, (u64, String)>,
    asked: usize,
}

impl World for Table {
    fn process(&mut self, pid: u32, known: Option<u64>) -> Answer {
        self.asked += 1;
        match self.processes.get(&pid) {
            None => Answer::Gone,
            Some((start, _)) if known == Some(*start) => Answer::Same,
            Some((start, cgroup)) => Answer::Process {
                start: *start,
                cgroup: cgroup.clone().into_bytes(),
            },
        }
    }

    fn name(&mut self, syscall: Syscall) -> Option<Arc<str>> {
        (syscall.number == 50).then(|| "listen".into())
    }

    fn header(&mut self, out: &mut String) {
        out.push_str("I] ");
    }
}

struct Bench {
    pipeline: Pipeline,
    world: Table,
    now: Duration,
    serial: u64,
}

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// The control group of a container of a pod.
fn cgroup(uid: &str, digit: char) -> String {
    format!("/kubepods/besteffort/pod{uid}/{}", id(digit))
}

impl Bench {
    fn new() -> Self {
        Self::with(Told::default())
    }

    fn with(told: Told) -> Self {
        let told = Told {
            node: "node-1".to_owned(),
            ..told
        };
        Self {
            pipeline: Pipeline::new(told, Source::Auditd),
            world: Table::default(),
            now: NOW,
            serial: 0,
        }
    }

    /// A process starts.
    fn runs(&mut self, pid: u32, start: u64, path: &str) {
        let text = format!("0::{path}\n");
        self.world.processes.insert(pid, (start, text));
    }

    fn pod(&mut self, event: Event<Pod>) {
        self.pipeline.pod(event, self.now, &mut self.world);
    }

    fn seccomp(&mut self, pid: u32, syscall: u32) {
        self.serial += 1;
        let line = format!(
            "type=SECCOMP msg=audit(1700000000.123:{}): auid=1 uid=0 gid=0 ses=1 pid={pid} \
             comm=\"nginx\" exe=\"/usr/sbin/nginx\" sig=0 arch=c000003e syscall={syscall} compat=0 \
             ip=0x7f code=0x7ffc0000",
            self.serial
        );
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        let raw = Raw::Line(line.as_bytes());
        self.pipeline.read(raw, self.now, &mut self.world);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.pipeline.tick(self.now, &mut self.world);
    }

    fn lines(&mut self) -> Vec<String> {
        let out = std::mem::take(self.pipeline.out());
        out.lines().map(str::to_owned).collect()
    }

    /// The pods that lines were attributed to.
    fn pods(&mut self) -> Vec<String> {
        let pod = |line: String| {
            line.split("pod=\"")
                .nth(1)?
                .split('"')
                .next()
                .map(str::to_owned)
        };
        self.lines().into_iter().filter_map(pod).collect()
    }
}

#[test]
fn a_record_of_a_pod_becomes_the_line_of_the_contract() {
    let mut bench = Bench::new();
    bench.pod(Event::Apply(pod("web", UID, &id('a'))));
    bench.runs(7, 1, &cgroup(UID, 'a'));
    bench.seccomp(7, 50);
    assert_eq!(
        bench.lines(),
        [concat!(
            r#"I] "audit" logger="log-enricher" timestamp="1700000000.123:1" type="seccomp" "#,
            r#"node="node-1" namespace="default" pod="web" container="app" "#,
            r#"executable="/usr/sbin/nginx" pid=7 syscallID=50 syscallName="listen""#
        )]
    );
    bench.line(
        "type=AVC msg=audit(1700000000.123:2): avc:  denied  { open } for  pid=7 comm=\"nginx\" \
         scontext=u:r:t:s0 tcontext=u:o:f:s0 tclass=file permissive=0",
    );
    let line = &bench.lines()[0];
    assert!(
        line.contains(r#"type="selinux" profile="recording-1" node="node-1""#),
        "{line}"
    );
}

#[test]
fn messages_of_the_audit_socket_are_the_same() {
    let mut bench = Bench::new();
    bench.pod(Event::Apply(pod("web", UID, &id('a'))));
    bench.runs(7, 1, &cgroup(UID, 'a'));
    let text = b"audit(1.123:1): auid=1 pid=7 comm=\"a\" exe=\"/a\" sig=0 arch=c000003e syscall=50 compat=0 ip=0x7f code=0x7ffc0000";
    for number in [1326, 1105] {
        let raw = Raw::Message(number, text);
        bench.pipeline.read(raw, NOW, &mut bench.world);
    }
    assert_eq!(bench.pods(), ["web"]);
}

#[test]
fn what_came_before_the_pod_waits_for_it() {
    let mut bench = Bench::new();
    bench.runs(7, 1, &cgroup(UID, 'a'));
    bench.runs(8, 1, &cgroup(OTHER_UID, 'b'));
    for pid in [7, 8, 7] {
        bench.seccomp(pid, 50);
    }
    assert!(bench.lines().is_empty());
    // The process is gone by the time its pod is known.
    bench.world.processes.clear();
    bench.now = Duration::from_secs(30);
    bench.pod(Event::Apply(pod("web", UID, &id('a'))));
    let lines = bench.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("123:1") && lines[1].contains("123:3"));
    assert_eq!(bench.pipeline.tally().lost, 0);
    bench.pod(Event::Apply(pod("other", OTHER_UID, &id('b'))));
    assert_eq!(bench.pods(), ["other"]);
    assert!(bench.pipeline.since.is_empty());
}

#[test]
fn messages_wait_like_lines() {
    let mut bench = Bench::new();
    bench.runs(7, 1, &cgroup(UID, 'a'));
    let text = b"audit(1.123:1): auid=1 pid=7 comm=\"a\" exe=\"/a\" sig=0 arch=c000003e syscall=50 compat=0 ip=0x7f code=0x7ffc0000";
    bench
        .pipeline
        .read(Raw::Message(1326, text), NOW, &mut bench.world);
    bench.pod(Event::Apply(pod("web", UID, &id('a'))));
    assert_eq!(bench.pods(), ["web"]);
}

#[test]
fn a_number_that_is_given_to_another_process_is_another_process() {
    let mut bench = Bench::new();
    bench.pod(Event::Apply(pod("one", UID, &id('a'))));
    bench.pod(Event::Apply(pod("two", OTHER_UID, &id('b'))));
    bench.runs(7, 1, &cgroup(UID, 'a'));
    bench.seccomp(7, 50);
    bench.now = Duration::from_secs(5);
    bench.runs(7, 2, &cgroup(OTHER_UID, 'b'));
    bench.seccomp(7, 50);
    assert_eq!(bench.pods(), ["one", "two"]);
}

#[test]
fn a_process_that_has_ended_is_remembered_shortly() {
    let mut bench = Bench::new();
    bench.pod(Event::Apply(pod("one", UID, &id('a'))));
    bench.runs(7, 1, &cgroup(UID, 'a'));
    bench.seccomp(7, 50);
    bench.world.processes.clear();
    bench.now = Duration::from_secs(1);
    bench.seccomp(7, 50);
    assert_eq!(bench.pods(), ["one", "one"]);
    bench.now = Duration::from_secs(3);
    bench.seccomp(7, 50);
    assert!(bench.lines().is_empty());
    assert_eq!(bench.pipeline.tally().process_gone, 1);
}

#[test]
fn many_lines_of_a_process_cost_one_look() {
    let mut bench = Bench::new();
    bench.pod(Event::Apply(pod("one", UID, &id('a'))));
    bench.runs(7, 1, &cgroup(UID, 'a'));
    for _ in 0..1000 {
        bench.seccomp(7, 50);
    }
    assert_eq!((bench.pods().len(), bench.world.asked), (1000, 1));
}

#[test]
fn a_container_can_not_pass_for_another() {
    let mut bench = Bench::new();
    bench.pod(Event::Apply(pod("victim", OTHER_UID, &id('b'))));
    // It makes a control group inside its own that has the victim's name.
    bench.runs(
        7,
        1,
        &format!("{}{}", cgroup(UID, 'a'), cgroup(OTHER_UID, 'b')),
    );
    // Or it hides the ID of the victim in the control group of its own pod.
    bench.runs(8, 1, &cgroup(UID, 'b'));
    bench.seccomp(7, 50);
    bench.seccomp(8, 50);
    assert!(bench.lines().is_empty());
    bench.pod(Event::Apply(pod("liar", UID, &id('a'))));
    assert_eq!(bench.pods(), ["liar"]);
}

#[test]
fn a_cluster_in_a_container_is_seen_through() {
    let mut bench = Bench::new();
    bench.pod(Event::Apply(pod("inner", UID, &id('b'))));
    bench.runs(
        7,
        1,
        &format!("/docker/{}/kubelet{}", id('a'), cgroup(UID, 'b')),
    );
    bench.seccomp(7, 50);
    assert_eq!(bench.pods(), ["inner"]);
}

#[test]
fn containers_of_no_pod_are_told_apart_after_a_while() {
    let mut bench = Bench::new();
    bench.runs(7, 1, &format!("/machine.slice/libpod-{}.scope", id('a')));
    bench.seccomp(7, 50);
    bench.wait(STRANGE_AFTER);
    // Nobody knows yet which pods there are.
    assert_eq!(bench.pipeline.tally().of_no_pod, 0);
    bench.pod(Event::Init);
    bench.pod(Event::InitDone);
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.pipeline.tally().of_no_pod, 1);
    bench.seccomp(7, 50);
    assert_eq!(bench.pipeline.tally().of_no_pod, 2);
    assert!(bench.pipeline.backlog.is_empty());
    // It was a pod's after all.
    bench.pod(Event::Apply(pod("late", UID, &id('a'))));
    bench.seccomp(7, 50);
    assert_eq!(bench.pods(), ["late"]);
}

#[test]
fn what_can_not_wait_is_counted() {
    let mut bench = Bench::new();
    bench.runs(7, 1, &cgroup(UID, 'a'));
    for _ in 0..200 {
        bench.seccomp(7, 50);
    }
    assert_eq!(bench.pipeline.tally().not_waited_for, 200 - 129);
    // Nor does the time of what waits take more room than what waits.
    for number in 0..3000_u32 {
        bench.runs(number, 1, &format!("/{number:064x}"));
        bench.seccomp(number, 50);
    }
    assert!(bench.pipeline.since.len() <= 2000);
    assert!(bench.pipeline.backlog.keys().count() <= 1000);
}

#[test]
fn what_is_not_written_is_counted_by_its_reason() {
    let mut bench = Bench::new();
    bench.pod(Event::Apply(pod("web", UID, &id('a'))));
    bench.runs(1, 1, "/system.slice/sshd.service");
    bench.runs(7, 1, &cgroup(UID, 'a'));
    bench.seccomp(1, 50);
    bench.seccomp(7, 99_999);
    bench.line("type=SECCOMP msg=audit(1.123:3): auid=1");
    bench.line(
        "type=USER_AVC msg=audit(1.123:4): pid=7 uid=0 auid=1 ses=1 msg='avc:  denied  { start } \
         for auid=1 scontext=a:b:c:d tcontext=a:b:c:d tclass=service'",
    );
    bench.line("no audit line");
    assert!(bench.lines().is_empty());
    let tally = bench.pipeline.tally();
    assert_eq!((tally.of_the_host, tally.without_name), (1, 1));
    assert_eq!((tally.malformed, tally.told_by_programs), (1, 1));
}

#[test]
fn a_process_on_its_way_into_a_container_is_looked_at_again() {
    let mut bench = Bench::new();
    bench.pod(Event::Apply(pod("web", UID, &id('a'))));
    bench.runs(7, 1, "/system.slice/containerd.service");
    bench.seccomp(7, 50);
    bench.runs(7, 1, &cgroup(UID, 'a'));
    bench.seccomp(7, 50);
    assert_eq!(bench.pods(), ["web"]);
}

#[test]
fn filters_decide_what_is_written() {
    let rules = r#"[{"priority": 100, "level": "None", "matchKeys": ["syscallID"], "matchValues": ["50"]}]"#;
    let (filters, _) = Filters::parse(rules).unwrap();
    let mut bench = Bench::with(Told {
        filters,
        ..Told::default()
    });
    bench.pod(Event::Apply(pod("web", UID, &id('a'))));
    bench.runs(7, 1, &cgroup(UID, 'a'));
    bench.seccomp(7, 50);
    assert!(bench.lines().is_empty());
}

#[test]
fn lines_that_say_the_same_are_summed_up() {
    let mut bench = Bench::with(Told {
        deduplicate: Some(Duration::from_mins(1)),
        ..Told::default()
    });
    bench.pod(Event::Apply(pod("web", UID, &id('a'))));
    bench.runs(7, 1, &cgroup(UID, 'a'));
    for _ in 0..5 {
        bench.seccomp(7, 50);
    }
    assert_eq!(bench.lines().len(), 1);
    bench.wait(Duration::from_secs(59));
    assert!(bench.lines().is_empty());
    bench.wait(Duration::from_secs(1));
    let lines = bench.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("I] \"audit\"") && lines[0].ends_with(" count=5"));
}

#[test]
fn text_of_a_tenant_starts_no_line() {
    let mut bench = Bench::new();
    bench.pod(Event::Apply(pod("web", UID, &id('a'))));
    bench.runs(7, 1, &cgroup(UID, 'a'));
    bench.line(
        "type=SECCOMP msg=audit(1.123:1): auid=1 pid=7 comm=0A exe=2F610A22493130 sig=0 arch=c000003e \
         syscall=50 compat=0 ip=0x7f code=0x7ffc0000",
    );
    let lines = bench.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(r#"executable="/a\n\"I10""#), "{lines:?}");
}
