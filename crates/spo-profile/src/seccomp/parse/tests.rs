//! Documents by example.

use super::*;
use spo_api::seccomp_profile::{Action, Arch, Arg, Flag, Operator};

fn parsed(document: &str) -> Parsed {
    parse(document.as_bytes()).unwrap()
}

fn error(document: &str) -> String {
    parse(document.as_bytes()).unwrap_err().to_string()
}

#[test]
fn an_oci_document_is_a_profile() {
    let Parsed { spec, losses } = parsed(
        r#"{
          "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
          "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
          "flags": ["SECCOMP_FILTER_FLAG_LOG"],
          "listenerPath": "/run/a", "listenerMetadata": "",
          "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": null, "comment": "x"},
            {"names": ["x"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": [
              {"index": 1, "value": 9223372036854775807, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}]}
          ]}"#,
    );
    assert_eq!(losses, []);
    assert_eq!(spec.default_action, Action::Errno);
    assert_eq!(spec.architectures, [Arch::X86_64, Arch::X32]);
    assert_eq!(spec.flags, [Flag::Log]);
    assert_eq!(spec.listener_path.as_deref(), Some("/run/a"));
    assert_eq!(spec.listener_metadata, None);
    let arg = Arg {
        index: 1,
        value: Some(i64::MAX),
        value_two: Some(3),
        op: Operator::MaskedEqual,
    };
    assert_eq!(spec.syscalls[1].args, [arg]);
    assert_eq!(spec.syscalls[1].errno_ret, Some(38));
}

#[test]
fn dockers_own_form_is_taken() {
    let Parsed { spec, losses } = parsed(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
             {"name": "read", "action": "SCMP_ACT_ALLOW", "args": [], "includes": {"caps": []}}]}"#,
    );
    assert_eq!(losses, []);
    assert_eq!(spec.syscalls[0].names, ["read"]);
}

#[test]
fn what_has_no_place_is_told() {
    let fields = |document: &str| -> Vec<String> {
        parsed(document)
            .losses
            .into_iter()
            .map(|loss| loss.field)
            .collect()
    };
    let rule = |members: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
                 {{"names":["x"],"action":"SCMP_ACT_ERRNO",{members}}}]}}"#
        )
    };
    for (document, expected) in [
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38}"#.to_owned(),
            "defaultErrnoRet",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_LOG","archMap":[{"architecture":"x"}]}"#.to_owned(),
            "archMap",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_LOG","state":"On"}"#.to_owned(),
            "state",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_LOG","Syscalls":[]}"#.to_owned(),
            "Syscalls",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS"}"#.to_owned(),
            "defaultErrno",
        ),
        (rule(r#""errnoRet":0"#), "syscalls[0].errnoRet"),
        (rule(r#""errno":"EINVAL""#), "syscalls[0].errno"),
        (
            rule(r#""includes":{"caps":["CAP_BPF"]}"#),
            "syscalls[0].includes",
        ),
        (
            rule(r#""excludes":{"minKernel":"4.8"}"#),
            "syscalls[0].excludes",
        ),
        (
            rule(r#""args":[{"index":0,"op":"SCMP_CMP_EQ","mask":1}]"#),
            "syscalls[0].args[0].mask",
        ),
    ] {
        assert_eq!(fields(&document), [expected], "{document}");
    }
    assert_eq!(
        fields(r#"{"defaultAction":"SCMP_ACT_LOG","defaultErrnoRet":38}"#),
        [""; 0]
    );
    assert_eq!(fields(&rule(r#""errno":"EINVAL","errnoRet":22"#)), [""; 0]);
    // A rule for some containers must not become one for all.
    assert_eq!(
        parsed(&rule(r#""includes":{"caps":["CAP_BPF"]}"#))
            .spec
            .syscalls,
        []
    );
}

#[test]
fn what_can_not_be_held_is_refused() {
    let rule = |members: &str| {
        format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{{members}}}]}}"#)
    };
    let with_arg = |arg: &str| {
        rule(&format!(
            r#""names":["x"],"action":"SCMP_ACT_ALLOW","args":[{{"op":"SCMP_CMP_EQ",{arg}}}]"#
        ))
    };
    for (document, expected) in [
        ("{}".to_owned(), "defaultAction is missing"),
        (
            r#"{"defaultAction":"ALLOW"}"#.to_owned(),
            "defaultAction: \"ALLOW\" is not known",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_LOG","flags":["X"]}"#.to_owned(),
            "flags[0]: \"X\" is not known",
        ),
        (
            rule(r#""action":"SCMP_ACT_ALLOW""#),
            "syscalls[0].names is missing",
        ),
        (rule(r#""names":["x"]"#), "syscalls[0].action is missing"),
        (
            with_arg(r#""value":9223372036854775808"#),
            "syscalls[0].args[0].value: 9223372036854775808 is too large; a SeccompProfile holds \
             numbers up to 9223372036854775807",
        ),
        (
            with_arg(r#""valueTwo":18446744073709551615"#),
            "syscalls[0].args[0].valueTwo: 18446744073709551615 is too large",
        ),
        (
            with_arg(r#""index":4294967296"#),
            "syscalls[0].args[0].index: 4294967296 is too large",
        ),
        (
            rule(r#""names":["x"],"action":"SCMP_ACT_ERRNO","errnoRet":2147483648"#),
            "syscalls[0].errnoRet: 2147483648 is too large; a SeccompProfile holds numbers up to \
             2147483647",
        ),
        (
            with_arg(r#""value":-1"#),
            "not a seccomp profile in JSON: invalid value",
        ),
        (
            with_arg(r#""value":1.5"#),
            "not a seccomp profile in JSON: invalid type",
        ),
        ("[]x".to_owned(), "not a seccomp profile in JSON"),
        ("\u{feff}{}".to_owned(), "not a seccomp profile in JSON"),
    ] {
        let error = error(&document);
        assert!(error.starts_with(expected), "{document}: {error}");
    }
    assert_eq!(
        parse(&vec![b' '; BYTES_MAX + 1]),
        Err(ParseError::TooLarge(BYTES_MAX + 1))
    );
}
