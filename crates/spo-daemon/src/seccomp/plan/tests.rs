//! Plans as text: the order of effects is data, so it is asserted here and not hoped for.

use super::*;
use spo_api::seccomp_profile::{Action, Syscall};

/// A profile that is new to the node.
fn new_profile() -> Inputs {
    Inputs {
        file: Ok("web.json".to_owned()),
        profile: Some(Profile {
            generation: Some(2),
            deletion: Deletion::No,
            partial: false,
            in_use: false,
            resolved: Ok(resolved(&["read", "write"])),
        }),
        rival: None,
        restrictions: Restrictions::unrestricted(),
        on_disk: OnDisk::Absent,
        last_known: None,
        reported: Reported {
            report: None,
            status_name: "web-node-1-0123456789".to_owned(),
            statuses: Vec::new(),
        },
        unknown_syscalls: Vec::new(),
        unsupported: None,
    }
}

/// The same, installed and reported.
fn installed() -> Inputs {
    let bytes = bytes(&new_profile());
    Inputs {
        last_known: Some(render::digest(&bytes)),
        on_disk: OnDisk::File(bytes),
        reported: Reported {
            report: Some(said(ProfileState::Installed, None)),
            status_name: "web-node-1-0123456789".to_owned(),
            statuses: vec!["web-node-1-0123456789".to_owned()],
        },
        ..new_profile()
    }
}

fn resolved(names: &[&str]) -> Resolved {
    let spec = SeccompProfileSpec {
        default_action: Action::Errno,
        syscalls: vec![Syscall {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            action: Action::Allow,
            errno_ret: None,
            args: Vec::new(),
        }],
        ..SeccompProfileSpec::default()
    };
    Resolved {
        spec,
        bases: Vec::new(),
        has_base: false,
    }
}

fn bytes(inputs: &Inputs) -> Vec<u8> {
    let profile = inputs.profile.as_ref().unwrap();
    render::render(&profile.resolved.as_ref().unwrap().spec)
}

fn said(state: ProfileState, message: Option<&str>) -> Report {
    Report {
        state,
        reason: None,
        message: message.map(str::to_owned),
        observed_generation: Some(2),
    }
}

fn profile(inputs: &mut Inputs) -> &mut Profile {
    inputs.profile.as_mut().unwrap()
}

fn check(inputs: &Inputs, expected: &[&str]) {
    let steps: Vec<String> = plan(inputs).iter().map(ToString::to_string).collect();
    assert_eq!(steps, expected);
}

#[test]
fn the_file_is_there_before_it_is_reported() {
    let inputs = new_profile();
    let size = bytes(&inputs).len();
    check(
        &inputs,
        &[
            &format!("write web.json {size} B"),
            "count update",
            "report Installed generation=2",
        ],
    );
}

#[test]
fn what_is_as_it_should_be_costs_nothing() {
    check(&installed(), &[]);
}

#[test]
fn a_new_generation_with_the_same_file_is_only_reported() {
    let mut inputs = installed();
    profile(&mut inputs).generation = Some(3);
    check(&inputs, &["report Installed generation=3"]);
}

#[test]
fn a_file_changed_or_deleted_by_others_is_restored_and_told() {
    let size = bytes(&installed()).len();
    let write = format!("write web.json {size} B");
    for (on_disk, what) in [
        (OnDisk::Absent, "deleted"),
        (OnDisk::File(b"{}".to_vec()), "changed"),
        (OnDisk::Strange, "changed"),
    ] {
        let inputs = Inputs {
            on_disk,
            ..installed()
        };
        let publish = format!(
            "publish RestoredSeccompProfile \"web.json was {what} by somebody else and has been \
             restored\""
        );
        check(&inputs, &[&write, "count update", &publish]);
    }
}

#[test]
fn a_changed_profile_is_no_tampering() {
    let mut inputs = installed();
    profile(&mut inputs).resolved = Ok(resolved(&["read"]));
    profile(&mut inputs).generation = Some(3);
    let size = bytes(&inputs).len();
    check(
        &inputs,
        &[
            &format!("write web.json {size} B"),
            "count update",
            "report Installed generation=3",
        ],
    );
}

#[test]
fn what_may_not_be_there_goes_before_it_is_reported() {
    let mut inputs = installed();
    inputs.restrictions.allowed_syscalls = ["write".to_owned()].into();
    let steps = plan(&inputs);
    let text: Vec<String> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(text[..2], ["remove web.json", "count delete"]);
    assert!(
        text[2]
            .starts_with("report Error generation=2 ProfileNotAllowed \"syscall not allowed: read"),
        "{text:?}"
    );
    assert_eq!(text[3..], ["count-error ProfileNotAllowed"]);

    // The second time there is nothing left to do.
    let Step::Report(report) = &steps[2] else {
        panic!("{steps:?}")
    };
    inputs.on_disk = OnDisk::Absent;
    inputs.reported.report = Some(report.clone());
    check(&inputs, &[]);
}

#[test]
fn disabled_and_partial_profiles_are_taken_off_the_node() {
    let mut disabled = installed();
    let spec = &mut profile(&mut disabled).resolved.as_mut().unwrap().spec;
    spec.state = DesiredState::Disabled;
    check(
        &disabled,
        &[
            "remove web.json",
            "count delete",
            "report Disabled generation=2",
        ],
    );

    let mut partial = new_profile();
    profile(&mut partial).partial = true;
    check(&partial, &["report Partial generation=2"]);
}

#[test]
fn a_disabled_profile_stays_while_pods_use_it() {
    let mut inputs = installed();
    profile(&mut inputs).in_use = true;
    profile(&mut inputs).resolved.as_mut().unwrap().spec.state = DesiredState::Disabled;
    check(
        &inputs,
        &["report Disabled generation=2 \"the file is kept while pods use it\""],
    );
}

#[test]
fn a_deletion_waits_for_the_manager() {
    let mut inputs = installed();
    profile(&mut inputs).deletion = Deletion::Undecided;
    check(&inputs, &[]);
    profile(&mut inputs).deletion = Deletion::HeldBack;
    check(
        &inputs,
        &["report Terminating generation=2 \"kept while pods use the profile\""],
    );
    inputs.reported.report = Some(said(
        ProfileState::Terminating,
        Some("kept while pods use the profile"),
    ));
    check(&inputs, &[]);
    profile(&mut inputs).deletion = Deletion::Released;
    check(
        &inputs,
        &[
            "remove web.json",
            "count delete",
            "withdraw web-node-1-0123456789",
        ],
    );
}

#[test]
fn a_deletion_creates_no_report() {
    let mut inputs = installed();
    inputs.reported.report = None;
    inputs.reported.statuses = Vec::new();
    profile(&mut inputs).deletion = Deletion::HeldBack;
    check(&inputs, &[]);
}

#[test]
fn what_an_operator_did_not_write_survives_an_object_that_is_gone() {
    let gone = Inputs {
        profile: None,
        ..installed()
    };
    check(
        &gone,
        &[
            "remove web.json",
            "count delete",
            "withdraw web-node-1-0123456789",
        ],
    );
    let by_hand = OnDisk::File(br#"{"defaultAction":"SCMP_ACT_LOG"}"#.to_vec());
    check(
        &Inputs {
            on_disk: by_hand,
            reported: Reported::default(),
            ..gone.clone()
        },
        &[],
    );
    // Another object claims the file.
    let claimed = Inputs {
        rival: Some("web.json".to_owned()),
        ..gone
    };
    check(&claimed, &["withdraw web-node-1-0123456789"]);
}

#[test]
fn reports_under_the_names_of_upstream_are_replaced() {
    let mut inputs = new_profile();
    inputs.reported.statuses = vec!["web-node-1".to_owned()];
    let size = bytes(&inputs).len();
    check(
        &inputs,
        &[
            &format!("write web.json {size} B"),
            "count update",
            "report Installed generation=2",
            "withdraw web-node-1",
        ],
    );
}

#[test]
fn every_error_is_reported_once_and_leaves_the_file() {
    type Break = Box<dyn Fn(&mut Inputs)>;
    let cases: Vec<(Break, &str)> = vec![
        (
            Box::new(|inputs| inputs.rival = Some("web.json".to_owned())),
            "InvalidSeccompProfile \"metadata.name: the file web.json belongs to the older \
             SeccompProfile \\\"web.json\\\"; give this profile another name\"",
        ),
        (
            Box::new(|inputs| {
                profile(inputs).resolved =
                    Err(Unresolved::Unreadable("no defaultAction".to_owned()));
            }),
            "InvalidSeccompProfile \"spec is not a valid SeccompProfile: no defaultAction\"",
        ),
        (
            Box::new(|inputs| inputs.unsupported = Some("no CONFIG_SECCOMP_FILTER".to_owned())),
            "SeccompNotSupportedOnNode \"no CONFIG_SECCOMP_FILTER\"",
        ),
    ];
    for (breaks, expected) in cases {
        let mut inputs = installed();
        breaks(&mut inputs);
        let steps = plan(&inputs);
        let text: Vec<String> = steps.iter().map(ToString::to_string).collect();
        assert_eq!(text[0], format!("report Error generation=2 {expected}"));
        assert!(text[1].starts_with("count-error "), "{text:?}");
        assert_eq!(text.len(), 2);
        let Step::Report(report) = &steps[0] else {
            panic!("{steps:?}")
        };
        inputs.reported.report = Some(report.clone());
        check(&inputs, &[]);
    }
}

#[test]
fn an_unknown_syscall_is_a_warning() {
    let mut inputs = installed();
    inputs.unknown_syscalls = vec!["write".to_owned()];
    check(
        &inputs,
        &[
            "report Installed generation=2 UnknownSyscall \"spec.syscalls[0].names: \\\"write\\\": \
           not a system call of any architecture of this node, so runtimes skip it; correct the \
           name or remove it\"",
        ],
    );
}

#[test]
fn rules_that_a_runtime_may_misread_are_a_warning() {
    let mut inputs = installed();
    // No architecture of runc's (spo_profile::seccomp::validate).
    let spec = &mut profile(&mut inputs).resolved.as_mut().unwrap().spec;
    spec.architectures = vec![spo_api::seccomp_profile::Arch::Native];
    inputs.on_disk = OnDisk::File(bytes(&inputs));
    let steps: Vec<String> = plan(&inputs).iter().map(ToString::to_string).collect();
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert!(
        steps[0].starts_with("report Installed generation=2 DoubtfulSeccompProfile \"spec."),
        "{steps:?}"
    );
}

#[test]
fn a_failure_on_the_node_is_reported() {
    let steps = after_failure(&installed(), CANNOT_SAVE, "no space left".to_owned());
    let text: Vec<String> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        [
            "report Error generation=2 CannotSaveSeccompProfile \"no space left\"",
            "count-error CannotSaveSeccompProfile"
        ]
    );
}
