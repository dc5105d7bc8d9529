//! Control groups as the runtimes make them, and as somebody might forge them.

use super::*;

const POD: &str = "0b2f2a30-52a5-4f67-9a42-6f0c6a1d7e55";
const POD_SYSTEMD: &str = "0b2f2a30_52a5_4f67_9a42_6f0c6a1d7e55";

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// `A`, `B` stand for IDs, `P` and `S` for the UID of a pod in either form.
fn fill(text: &str) -> String {
    text.replace("{A}", &id('a'))
        .replace("{B}", &id('b'))
        .replace("{P}", POD)
        .replace("{S}", POD_SYSTEMD)
}

#[track_caller]
fn check(cgroup: &str, expected: &[(char, Option<&str>)]) {
    let cgroup = fill(cgroup);
    let found = containers(cgroup.as_bytes());
    let expected: Vec<_> = expected
        .iter()
        .map(|(digit, pod)| (id(*digit), *pod))
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|found| (found.container_id.to_owned(), found.pod_uid.as_deref()))
        .collect();
    assert_eq!(found, expected, "{cgroup}");
}

#[test]
fn control_groups_of_the_runtimes() {
    let pod = Some(POD);
    // containerd and CRI-O, cgroupfs and systemd, v1 and v2.
    check("7:pids:/kubepods/besteffort/pod{P}/crio-{A}", &[('a', pod)]);
    check("3:memory:/kubepods/burstable/pod{P}/{A}", &[('a', pod)]);
    check("0::/kubepods/pod{P}/{A}\n", &[('a', pod)]);
    check(
        "0::/kubepods.slice/kubepods-pod{S}.slice/cri-containerd-{A}.scope",
        &[('a', pod)],
    );
    check(
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{S}.slice/crio-{A}.scope",
        &[('a', pod)],
    );
    check(
        "0::/kubepods.slice/kubepods-burstable-pod{S}.slice/crio-{A}.scope/container",
        &[('a', pod)],
    );
    check(
        "0::/kubepods.slice/kubepods-burstable-pod{S}.slice/crio-conmon-{A}.scope",
        &[('a', pod)],
    );
    check(
        "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort-pod{S}.slice/cri-containerd-{A}.scope",
        &[('a', pod)],
    );
    check(
        "1:name=systemd:/system.slice/containerd.service/kubepods-burstable-pod{S}.slice:cri-containerd:{A}",
        &[('a', pod)],
    );
    // Without a pod.
    check("0::/system.slice/crio-conmon-{A}.scope", &[('a', None)]);
    check("0::/system.slice/docker-{A}.scope", &[('a', None)]);
    check("4:cpu:/docker/{A}", &[('a', None)]);
    check(
        "0::/machine.slice/libpod-{A}.scope/container",
        &[('a', None)],
    );
    check(
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope",
        &[('a', None)],
    );
    // None.
    for none in [
        "0::/system.slice/containerd.service",
        "0::/",
        "0::/init.scope",
        "",
    ] {
        check(none, &[]);
    }
}

#[test]
fn a_static_pod_has_a_digest_for_a_uid() {
    let digest = "0123456789abcdef0123456789abcdef";
    let cgroup = format!("0::/kubepods/burstable/pod{digest}/{}", id('a'));
    let found = containers(cgroup.as_bytes());
    assert_eq!(found[0].pod_uid.as_deref(), Some(digest));
}

#[test]
fn nested_containers_come_outermost_first() {
    check(
        "0::/docker/{A}/kubelet/kubepods/pod{P}/{B}",
        &[('a', None), ('b', Some(POD))],
    );
    check(
        "0::/kubepods/pod{P}/{A}/docker/{B}",
        &[('a', Some(POD)), ('b', Some(POD))],
    );
    // A private control group namespace of the reader.
    check("0::/../../kubepods/pod{P}/{A}", &[('a', Some(POD))]);
}

#[test]
fn a_forged_group_comes_after_the_real_one() {
    let other = "11111111-2222-3333-4444-555555555555";
    let cgroup = format!(
        "0::/kubepods/pod{POD}/{}/kubepods/pod{other}/{}",
        id('a'),
        id('b')
    );
    let found = containers(cgroup.as_bytes());
    assert_eq!(found[0].container_id, id('a'));
    assert_eq!(found[0].pod_uid.as_deref(), Some(POD));
}

#[test]
fn the_first_line_with_a_container_counts() {
    check(
        "12:misc:/\n7:pids:/kubepods/pod{P}/{A}\n3:memory:/docker/{B}",
        &[('a', Some(POD))],
    );
}

#[test]
fn what_is_no_id() {
    for text in [
        "0::/kubepods/pod{P}/{A}a",
        "0::/docker/x{A}",
        "0::/docker/AAAA",
        "{A}",
        "0:{A}",
        "{A}:{A}:/",
    ] {
        check(text, &[]);
    }
    let upper = format!("0::/docker/{}", "A".repeat(64));
    check(&upper, &[]);
    assert!(containers(b"\xff\xfe:\xff:/\xff/\xff").is_empty());
}

#[test]
fn a_uid_of_a_pod_has_a_form() {
    for pod in [
        "pod",
        "podx",
        "pod../..",
        "pod{P}x",
        "kubepods-pod{P}",
        "xkubepods-podx.slice",
    ] {
        check(&format!("0::/{pod}/{{A}}"), &[('a', None)]);
    }
}

#[test]
fn the_start_time_is_counted_from_the_last_parenthesis() {
    let stat = |name: &str| {
        format!(
            "4242 ({name}) S 1 4242 4242 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3 4\n"
        )
    };
    for name in ["sh", "a b", ") S 1 2 3 4 5 6", "((", "a\n)"] {
        assert_eq!(
            start_time(4242, stat(name).as_bytes()),
            Ok(987_654),
            "{name}"
        );
    }
}

#[test]
fn a_stat_that_is_not_complete_is_refused() {
    for stat in [
        "",
        "1 (sh",
        "1 (sh)",
        "1 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
        "1 (sh) 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 x",
    ] {
        assert_eq!(
            start_time(7, stat.as_bytes()),
            Err(InvalidStat { pid: 7 }),
            "{stat}"
        );
    }
    assert_eq!(
        InvalidStat { pid: 7 }.to_string(),
        "invalid proc stat format for pid: 7"
    );
}

#[test]
fn the_exec_request_of_a_process() {
    let check = |environ: &str, cmdline: &str, expected: Option<&str>| {
        let found = request_uid(environ.as_bytes(), cmdline.as_bytes());
        assert_eq!(found, expected, "{environ:?} {cmdline:?}");
    };
    let set = format!("SPO_EXEC_REQUEST_UID={POD}");
    check(&format!("PATH=/bin\0{set}\0HOME=/"), "", Some(POD));
    check(
        "PATH=/bin\0",
        &format!("env\0{set}\0sh\0-c\0ls\0"),
        Some(POD),
    );
    check("", &format!("env {set} sleep 5 "), Some(POD));
    check("", &format!("env {set}\nx"), Some(POD));
    // The environment is asked first, and of several the first.
    check(&set, "env SPO_EXEC_REQUEST_UID=other ", Some(POD));
    check(
        "SPO_EXEC_REQUEST_UID=a\0SPO_EXEC_REQUEST_UID=b",
        "",
        Some("a"),
    );
    // Not a variable of that name.
    check("X_SPO_EXEC_REQUEST_UID=a\0", "", None);
    check("", "", None);
    // Nothing that could be more than a UID gets out.
    check("SPO_EXEC_REQUEST_UID=", "env SPO_EXEC_REQUEST_UID= x", None);
    check("SPO_EXEC_REQUEST_UID=a\"b", "", None);
    check("SPO_EXEC_REQUEST_UID=a\nb", "", None);
    check(
        &format!("SPO_EXEC_REQUEST_UID={}", "a".repeat(65)),
        "",
        None,
    );
    // A bad value in the environment does not hide the command line.
    check("SPO_EXEC_REQUEST_UID=", &format!("env {set} x"), Some(POD));
}

#[test]
fn the_command_line_keeps_its_last_space() {
    assert_eq!(command_line(b"sh\0-c\0ls -l\0"), "sh -c ls -l ");
    assert_eq!(command_line(b""), "");
    assert_eq!(command_line(b"\xff\0"), "\u{fffd} ");
}
