//! Problems by example: the start of their text after a profile in JSON.

use super::*;
use crate::seccomp::parse::parse;

fn check(profile: &str, expected: &[(Severity, &str)]) {
    let parsed = parse(profile.as_bytes()).unwrap();
    let problems = validate(&parsed.spec);
    let told: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(told.len(), expected.len(), "{profile} {told:?}");
    for ((problem, text), (severity, start)) in problems.iter().zip(&told).zip(expected) {
        assert_eq!(problem.severity, *severity, "{text}");
        assert!(text.starts_with(start), "{text}");
    }
}

fn check_rules(rules: &str, expected: &[(Severity, &str)]) {
    check(
        &format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{rules}]}}"#),
        expected,
    );
}

use Severity::{Error, Warning};

#[test]
fn a_good_profile_has_no_problem() {
    check_rules(
        r#"{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
           {"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
           {"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":22,"args":[
             {"index":0,"value":16,"op":"SCMP_CMP_EQ"},{"index":2,"value":9,"op":"SCMP_CMP_EQ"}]},
           {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":2,"value":9,"op":"SCMP_CMP_NE"}]},
           {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":16,"op":"SCMP_CMP_NE"}]}"#,
        &[],
    );
}

#[test]
fn listeners_and_notifications_belong_together() {
    let notify = r#"{"names":["accept"],"action":"SCMP_ACT_NOTIFY"}"#;
    check_rules(
        notify,
        &[(
            Error,
            "spec.syscalls[0].action: SCMP_ACT_NOTIFY needs an agent; set spec.listenerPath",
        )],
    );
    let path = r#""listenerPath":"/var/run/security-profiles-operator/a""#;
    check(
        &format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO",{path},"syscalls":[{notify}]}}"#),
        &[],
    );
    check(
        &format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO",{path}}}"#),
        &[(Warning, "spec.listenerPath: no rule has SCMP_ACT_NOTIFY")],
    );
    check(
        r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#,
        &[(Error, "spec.defaultAction: SCMP_ACT_NOTIFY would ask")],
    );
    check(
        &format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO",{path},"syscalls":[
              {{"names":["read","write"],"action":"SCMP_ACT_NOTIFY"}}]}}"#
        ),
        &[(
            Error,
            "spec.syscalls[0].names[1]: write can not have SCMP_ACT_NOTIFY",
        )],
    );
    check(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#,
        &[(
            Error,
            "spec.flags[0]: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule",
        )],
    );
}

#[test]
fn numbers_have_limits() {
    let rule = |fields: &str| format!(r#"{{"names":["x"],{fields}}}"#);
    let with_arg = |arg: &str| rule(&format!(r#""action":"SCMP_ACT_ALLOW","args":[{{{arg}}}]"#));
    for (rule, expected) in [
        (
            rule(r#""action":"SCMP_ACT_ERRNO","errnoRet":4096"#),
            (Warning, "spec.syscalls[0].errnoRet: 4096 is not"),
        ),
        (
            rule(r#""action":"SCMP_ACT_ALLOW","errnoRet":1"#),
            (
                Warning,
                "spec.syscalls[0].errnoRet: 1 has no meaning for SCMP_ACT_ALLOW",
            ),
        ),
        (
            rule(r#""action":"SCMP_ACT_TRACE","errnoRet":65536"#),
            (Warning, "spec.syscalls[0].errnoRet: 65536 does not fit"),
        ),
        (
            with_arg(r#""index":6,"op":"SCMP_CMP_EQ""#),
            (
                Error,
                "spec.syscalls[0].args[0].index: 6 is not an argument",
            ),
        ),
        (
            with_arg(r#""index":0,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ""#),
            (Warning, "spec.syscalls[0].args[0].value: the mask is 0"),
        ),
        (
            with_arg(r#""index":0,"value":2,"valueTwo":3,"op":"SCMP_CMP_MASKED_EQ""#),
            (
                Warning,
                "spec.syscalls[0].args[0].valueTwo: 3 has bits outside the mask 2",
            ),
        ),
        (
            with_arg(r#""index":0,"op":"SCMP_CMP_LT""#),
            (
                Warning,
                "spec.syscalls[0].args[0].value: no argument is less than 0",
            ),
        ),
        (
            r#"{"names":[""],"action":"SCMP_ACT_ALLOW"}"#.to_owned(),
            (Error, "spec.syscalls[0].names[0]: \"\" is not a name"),
        ),
    ] {
        check_rules(&rule, &[expected]);
    }
    let mut spec = SeccompProfileSpec::default();
    let arg = Arg {
        index: -1,
        value: Some(-1),
        value_two: None,
        op: Operator::Equal,
    };
    let names = vec!["x".to_owned()];
    spec.syscalls = vec![Syscall {
        names,
        action: Action::Allow,
        errno_ret: None,
        args: vec![arg],
    }];
    let fields: Vec<String> = validate(&spec)
        .into_iter()
        .map(|problem| problem.field)
        .collect();
    assert_eq!(
        fields,
        [
            "spec.syscalls[0].args[0].index",
            "spec.syscalls[0].args[0].value"
        ]
    );
}

#[test]
fn architectures_fit_into_one_filter() {
    let profile =
        |archs: &str| format!(r#"{{"defaultAction":"SCMP_ACT_LOG","architectures":[{archs}]}}"#);
    check(&profile(r#""SCMP_ARCH_X86_64","SCMP_ARCH_AARCH64""#), &[]);
    check(
        &profile(r#""SCMP_ARCH_X86_64","SCMP_ARCH_S390X""#),
        &[(
            Error,
            "spec.architectures: SCMP_ARCH_S390X and SCMP_ARCH_X86_64 differ in byte order",
        )],
    );
    check(
        &profile(r#""SCMP_ARCH_NATIVE""#),
        &[(
            Warning,
            "spec.architectures[0]: SCMP_ARCH_NATIVE is not known to runc",
        )],
    );
}

#[test]
fn rules_of_one_system_call_agree() {
    let rule = |action: &str, args: &str| {
        format!(r#"{{"names":["x"],"action":"SCMP_ACT_{action}","args":[{args}]}}"#)
    };
    let arg = |index: i32, op: &str, value: i64| {
        format!(r#"{{"index":{index},"value":{value},"op":"SCMP_CMP_{op}"}}"#)
    };
    let two = |one: String, other: String| format!("{one},{other}");
    let equal = arg(0, "EQ", 1);
    // The default action is ERRNO, so its rules are skipped.
    check_rules(&two(rule("ERRNO", ""), rule("ALLOW", &equal)), &[]);
    check_rules(
        &two(rule("LOG", ""), rule("ALLOW", &equal)),
        &[(
            Warning,
            "spec.syscalls: SCMP_ACT_LOG without conditions decides for x",
        )],
    );
    check_rules(
        &two(rule("LOG", &equal), rule("ALLOW", &equal)),
        &[(
            Error,
            "spec.syscalls: SCMP_ACT_LOG and SCMP_ACT_ALLOW for x under the same conditions",
        )],
    );
    check_rules(
        &two(rule("LOG", &equal), rule("ALLOW", &arg(1, "EQ", 1))),
        &[(
            Warning,
            "spec.syscalls: SCMP_ACT_LOG and SCMP_ACT_ALLOW for x meet for some arguments",
        )],
    );
    let branches = |index: i32| two(arg(0, "NE", 2), arg(index, "EQ", 5));
    check_rules(
        &two(rule("ALLOW", &branches(1)), rule("ALLOW", &branches(2))),
        &[(
            Warning,
            "spec.syscalls: libseccomp can not hold these rules for x side by side",
        )],
    );
}
