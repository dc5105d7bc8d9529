//! The tables, and profiles which compile or do not. What a filter does: `tests/node`.

use super::*;

fn compiled(json: &str) -> Result<Filter, Error> {
    compile(json.as_bytes())
}

#[test]
fn this_machine_has_seccomp() {
    assert_eq!(supported(), Support::Available);
    assert_eq!(supported(), Support::Available, "asking changes nothing");
    assert_ne!(native_arch(), Arch::Native);
    assert_eq!(
        native_arch()
            .as_str()
            .to_lowercase()
            .replace("scmp_arch_", ""),
        { std::env::consts::ARCH }
    );
}

#[test]
fn a_name_is_unknown_if_no_architecture_has_it() {
    let check = |arches: &[Arch], names: &[&str], unknown: &[&str]| {
        assert_eq!(
            unknown_syscalls(names.iter().copied(), arches),
            unknown,
            "{arches:?}"
        );
    };
    let names = [
        "read",
        "no_such_call",
        "socketcall",
        "socket",
        "arch_prctl",
        "",
        "READ",
    ];
    check(
        &[Arch::X86_64],
        &names,
        &["no_such_call", "socketcall", "", "READ"],
    );
    check(&[Arch::X86], &names, &["no_such_call", "", "READ"]);
    check(
        &[Arch::X86_64, Arch::X86],
        &names,
        &["no_such_call", "", "READ"],
    );
    check(
        &[Arch::Aarch64],
        &["open", "openat", "fadvise64"],
        &["open"],
    );
    check(&[], &["read", "no_such_call"], &["no_such_call"]);
    check(
        &[Arch::Native],
        &["read", "no_such_call"],
        &["no_such_call"],
    );
}

#[test]
fn either_table_is_enough() {
    // In the kernel since 6.10, in libseccomp since 2.6; and one which no crate table has.
    assert!(unknown_syscalls(["mseal"].into_iter(), &[Arch::X86_64]).is_empty());
    assert!(unknown_syscalls(["socketcall"].into_iter(), &[Arch::Mips, Arch::S390]).is_empty());
}

#[test]
fn calls_of_multiplexers_exist() {
    for arch in [
        Arch::X86,
        Arch::S390,
        Arch::S390x,
        Arch::Ppc,
        Arch::Ppc64le,
        Arch::Mips,
    ] {
        let names = ["socket", "accept4", "shmat", "semop"].into_iter();
        assert!(unknown_syscalls(names, &[arch]).is_empty(), "{arch}");
    }
}

#[test]
fn what_no_table_covers_is_not_called_unknown() {
    let sh = unknown_syscalls(["no_such_call"].into_iter(), &[Arch::Sh]);
    let known = ScmpArch::Sh;
    let covered = libseccomp::ScmpSyscall::from_name_by_arch("read", known).is_ok();
    assert_eq!(sh.is_empty(), !covered);
}

#[test]
fn every_architecture_has_a_counterpart() {
    for arch in Arch::ALL {
        let scmp: ScmpArch = arch.as_str().parse().unwrap();
        assert_eq!(scmp_arch(*arch), scmp, "{arch}");
    }
}

#[test]
fn a_profile_becomes_a_program() {
    let filter = compiled(
        r#"{"state":"Enabled","baseProfileName":"base","defaultAction":"SCMP_ACT_ERRNO",
        "architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[
        {"names":["read","no_such_call"],"action":"SCMP_ACT_ALLOW","args":null},
        {"names":["other_call"],"action":"SCMP_ACT_LOG"},
        {"names":["third_call"],"action":"SCMP_ACT_ERRNO"}],
        "flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_TSYNC"]}"#,
    )
    .unwrap();
    // The third has the default action, so that runc does not even look it up.
    assert_eq!(filter.skipped(), ["no_such_call", "other_call"]);
    let program = filter.export_bpf().unwrap();
    assert!(
        program.len() >= 8 * 8 && program.len().is_multiple_of(8),
        "{}",
        program.len()
    );
}

#[test]
fn what_runc_refuses_is_refused() {
    let check = |json: &str, text: &str| {
        let error = compiled(json).unwrap_err();
        assert_eq!(error.to_string(), text, "{json}");
    };
    check("", "the profile is not valid");
    check("{}", "the profile is not valid");
    check(
        r#"{"defaultAction":"SCMP_ACT_NONE"}"#,
        "the profile is not valid",
    );
    check(
        r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#,
        "SCMP_ACT_NOTIFY cannot be the default action",
    );
    let rule = |rule: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{rule}]}}"#);
    check(
        &rule(r#"{"names":["read","write"],"action":"SCMP_ACT_NOTIFY"}"#),
        "SCMP_ACT_NOTIFY cannot be used for the system call write",
    );
    check(
        &rule(
            r#"{"names":["read"],"action":"SCMP_ACT_LOG",
            "args":[{"index":6,"op":"SCMP_CMP_EQ"}]}"#,
        ),
        "cannot add a rule for system call read",
    );
    check(
        &rule(
            r#"{"names":["read"],"action":"SCMP_ACT_LOG",
            "args":[{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}]}"#,
        ),
        "the profile is not valid",
    );
}

#[test]
fn a_flag_which_is_too_young_is_refused() {
    let filter = compiled(
        r#"{"defaultAction":"SCMP_ACT_ALLOW",
        "flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#,
    );
    let new = libseccomp::check_version((2, 6, 0).into()).unwrap();
    match filter {
        Ok(_) => assert!(new),
        Err(Error::Flag { flag, .. }) => {
            assert_eq!((flag, new), (Flag::WaitKillableRecv, false));
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_number_has_the_name_of_its_architecture() {
    for (arch, number, expected) in [
        (Arch::X86_64, 50, Some("listen")),
        (Arch::X86, 11, Some("execve")),
        (Arch::Aarch64, 221, Some("execve")),
        (Arch::X32, 0, Some("read")),
        (Arch::X32, 0x4000_0000, Some("read")),
        (Arch::X86_64, 99_999, None),
        (Arch::X86_64, u32::MAX, None),
    ] {
        assert_eq!(
            syscall_name(arch, number).as_deref(),
            expected,
            "{arch:?} {number}"
        );
    }
}
