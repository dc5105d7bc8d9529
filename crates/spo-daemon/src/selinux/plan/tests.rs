//! Plans as text: the order of effects is data, so it is asserted here and not hoped for.

use super::*;

const MODULE: &str = "(block web\n)\n";

/// A profile that is new to the node.
fn new_profile() -> Inputs {
    Inputs {
        node: "node-1".to_owned(),
        file: Ok("web.cil".to_owned()),
        profile: Some(Profile {
            generation: Some(2),
            deletion: Deletion::No,
            partial: false,
            in_use: false,
            state: DesiredState::Enabled,
            module: Ok(MODULE.to_owned()),
            waits_for: None,
        }),
        rival: None,
        child: None,
        on_disk: OnDisk::Absent,
        last_known: None,
        reported: Reported {
            report: None,
            status_name: "web-node-1".to_owned(),
            statuses: Vec::new(),
        },
        answer: Answer::None,
        available: true,
    }
}

fn said(state: ProfileState) -> Report {
    Report {
        state,
        reason: None,
        message: None,
        observed_generation: Some(2),
    }
}

/// The same with its file, and what was said of it.
fn written(report: Report, answer: Answer) -> Inputs {
    Inputs {
        on_disk: on_disk(MODULE),
        last_known: Some(digest(MODULE)),
        reported: Reported {
            report: Some(report),
            status_name: "web-node-1".to_owned(),
            statuses: vec!["web-node-1".to_owned()],
        },
        answer,
        ..new_profile()
    }
}

fn installed() -> Inputs {
    written(said(ProfileState::Installed), Answer::None)
}

fn on_disk(text: &str) -> OnDisk {
    OnDisk::File {
        digest: digest(text),
        ours: true,
    }
}

fn other(name: &str) -> Option<Subject> {
    Some(Subject {
        kind: "SelinuxProfile".to_owned(),
        name: name.to_owned(),
    })
}

fn profile(inputs: &mut Inputs) -> &mut Profile {
    inputs.profile.as_mut().unwrap()
}

/// The last of the lines is `ask` if selinuxd is asked.
fn check(inputs: &Inputs, expected: &[&str]) {
    let plan = plan(inputs);
    let mut steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    if plan.ask {
        steps.push("ask".to_owned());
    }
    assert_eq!(steps, expected);
}

#[test]
fn a_new_profile_is_written_and_asked_about() {
    check(
        &new_profile(),
        &[
            "write web.cil 13 B",
            "report InProgress generation=2",
            "ask",
        ],
    );
}

#[test]
fn what_selinuxd_says_is_reported_once() {
    let in_progress = |answer| written(said(ProfileState::InProgress), answer);
    check(&in_progress(Answer::None), &["ask"]);
    check(&in_progress(Answer::Unknown), &["ask"]);
    check(
        &in_progress(Answer::Installed),
        &["report Installed generation=2", "count update"],
    );
    check(&installed(), &[]);
    let text = "Failed to save profile to disk on node-1: line 3: no such type";
    let failed = in_progress(Answer::Failed("line 3: no such type\n".to_owned()));
    let report = format!("report Error generation=2 CannotSaveSelinuxPolicy {text:?}");
    check(
        &failed,
        &[
            &report,
            "count-error CannotSaveSelinuxPolicy",
            &format!("publish CannotSaveSelinuxPolicy {text:?}"),
        ],
    );
    let told = Report {
        reason: Some(CANNOT_SAVE.to_owned()),
        message: Some(text.to_owned()),
        ..said(ProfileState::Error)
    };
    check(&written(told.clone(), failed.answer), &[]);
    // selinuxd does not try the same file again, so that there is nothing to ask.
    check(&written(told, Answer::None), &[]);
}

#[test]
fn upstream_gives_no_reason_and_gets_a_hint() {
    assert_eq!(hint(""), "no reason given");
    assert_eq!(hint("line 1: x"), "line 1: x");
    let text = hint("cannot install module: /etc/selinux.d/web.cil");
    assert!(
        text.contains("web.cil; the log of the container selinuxd says why"),
        "{text}"
    );
}

#[test]
fn selinuxd_that_is_away_is_told_once_and_asked_on() {
    let why = "selinuxd is not there: /x does not exist";
    let away = Answer::Unreachable(why.to_owned());
    check(
        &written(said(ProfileState::InProgress), away.clone()),
        &[
            &format!("report Error generation=2 CannotContactSelinuxd {why:?}"),
            "count-error CannotContactSelinuxd",
            &format!("publish CannotContactSelinuxd {why:?}"),
            "ask",
        ],
    );
    let told = Report {
        reason: Some(CANNOT_CONTACT.to_owned()),
        message: Some(why.to_owned()),
        ..said(ProfileState::Error)
    };
    check(&written(told.clone(), away), &["ask"]);
    check(
        &written(told, Answer::Installed),
        &["report Installed generation=2", "count update"],
    );
}

#[test]
fn a_new_generation_is_asked_about_even_if_the_file_stays() {
    let mut inputs = installed();
    profile(&mut inputs).generation = Some(3);
    check(&inputs, &["report InProgress generation=3", "ask"]);
}

#[test]
fn a_file_that_somebody_changed_is_restored() {
    let restored = |what: &str| {
        format!(
            "publish RestoredSelinuxPolicy \"web.cil {what} by somebody else and has been restored\""
        )
    };
    for (found, what) in [
        (OnDisk::Absent, "was deleted"),
        (on_disk("x"), "was changed"),
        (OnDisk::Strange, "was changed"),
    ] {
        let inputs = Inputs {
            on_disk: found,
            ..installed()
        };
        check(
            &inputs,
            &[
                "write web.cil 13 B",
                "report InProgress generation=2",
                &restored(what),
                "ask",
            ],
        );
    }
}

#[test]
fn a_profile_waits_for_what_it_inherits() {
    let mut inputs = new_profile();
    profile(&mut inputs).waits_for = other("base");
    let waits = "report InProgress generation=2 \"waits until SelinuxProfile/base, which it inherits, \
                 is installed\"";
    check(&inputs, &[waits]);
    // What is installed needs no other file, and so nothing to wait for.
    let mut inputs = installed();
    profile(&mut inputs).waits_for = other("base");
    check(&inputs, &[]);
}

#[test]
fn what_may_not_be_there_is_removed_and_told() {
    let text = "Profile failed validation on node-1: why";
    let mut inputs = installed();
    profile(&mut inputs).module = Err(Refused::Invalid("why".to_owned()));
    let report = format!("report Error generation=2 CannotSaveSelinuxPolicy {text:?}");
    let told = [
        report.as_str(),
        "count-error CannotSaveSelinuxPolicy",
        &format!("publish CannotSaveSelinuxPolicy {text:?}"),
    ];
    check(&inputs, &told);
    profile(&mut inputs).module = Err(Refused::NotAllowed("why".to_owned()));
    check(
        &inputs,
        &[&["remove web.cil", "count delete"], &told[..]].concat(),
    );
    profile(&mut inputs).module = Err(Refused::Denied("why".to_owned()));
    check(
        &inputs,
        &[
            "remove web.cil",
            "count delete",
            "report Error generation=2 CannotWritePolicyFile \"creating policy file: why\"",
            "count-error CannotWritePolicyFile",
            "publish CannotWritePolicyFile \"creating policy file: why\"",
        ],
    );
}

#[test]
fn the_older_profile_of_a_name_has_the_file() {
    let mut inputs = new_profile();
    inputs.rival = other("web");
    let steps = plan(&inputs).steps;
    let text = "the file web.cil belongs to the older SelinuxProfile/web";
    assert!(steps[0].to_string().contains(text), "{}", steps[0]);
    profile(&mut inputs).deletion = Deletion::Released;
    inputs.on_disk = on_disk(MODULE);
    check(&inputs, &[]);
    inputs.profile = None;
    check(&inputs, &[]);
}

#[test]
fn set_aside_profiles_are_removed_unless_pods_use_them() {
    let mut inputs = installed();
    profile(&mut inputs).partial = true;
    let partial = "report Partial generation=2";
    check(&inputs, &["remove web.cil", "count delete", partial]);
    profile(&mut inputs).state = DesiredState::Disabled;
    let disabled = "report Disabled generation=2";
    check(&inputs, &["remove web.cil", "count delete", disabled]);
    profile(&mut inputs).in_use = true;
    let kept = format!("{disabled} \"the policy is kept while pods use it\"");
    check(&inputs, &[&kept]);
}

#[test]
fn a_deletion_ends_when_selinuxd_knows_the_module_no_more() {
    let mut inputs = installed();
    profile(&mut inputs).deletion = Deletion::Undecided;
    check(&inputs, &[]);
    profile(&mut inputs).deletion = Deletion::HeldBack;
    let kept = "report Terminating generation=2 \"kept while pods use the profile\"";
    check(&inputs, &[kept]);
    profile(&mut inputs).deletion = Deletion::Released;
    let waits = "report Terminating generation=2 \"waits for selinuxd\"";
    check(&inputs, &[waits, "ask"]);
    inputs.answer = Answer::Unreachable("away".to_owned());
    let away = "report Terminating generation=2 CannotContactSelinuxd \"away\"";
    let count = "count-error CannotContactSelinuxd";
    check(&inputs, &[away, count, "ask"]);
    inputs.answer = Answer::Installed;
    check(&inputs, &["remove web.cil", "ask"]);
    inputs.on_disk = OnDisk::Absent;
    let removes = "report Terminating generation=2 \"selinuxd removes the policy\"";
    check(&inputs, &[removes, "ask"]);
    inputs.answer = Answer::Unknown;
    check(&inputs, &["count delete", "withdraw web-node-1"]);
    inputs.answer = Answer::Failed("why".to_owned());
    check(
        &inputs,
        &[
            "publish CannotRemoveSelinuxPolicy \"Failed to remove profile: why\"",
            "count-error CannotRemoveSelinuxPolicy",
            "withdraw web-node-1",
        ],
    );
}

#[test]
fn what_is_inherited_stays_until_nobody_inherits_it() {
    let mut inputs = written(said(ProfileState::Installed), Answer::Installed);
    profile(&mut inputs).deletion = Deletion::Released;
    inputs.child = other("child");
    let kept = "report Terminating generation=2 \"kept while SelinuxProfile/child inherits it; change \
                or delete that one\"";
    check(&inputs, &[kept]);
}

#[test]
fn a_profile_that_is_gone_takes_its_file_along_if_it_is_ours() {
    let mut inputs = installed();
    inputs.profile = None;
    let withdraw = "withdraw web-node-1";
    check(&inputs, &["remove web.cil", "count delete", withdraw]);
    inputs.on_disk = OnDisk::File {
        digest: digest("x"),
        ours: false,
    };
    check(&inputs, &[withdraw]);
}

#[test]
fn a_node_without_selinux_says_nothing() {
    let mut inputs = new_profile();
    inputs.available = false;
    check(&inputs, &[]);
    let mut inputs = installed();
    inputs.available = false;
    check(&inputs, &["withdraw web-node-1"]);
}

#[test]
fn a_failed_write_is_told() {
    let inputs = new_profile();
    let steps = after_failure(
        &inputs,
        CANNOT_WRITE,
        "creating policy file: full".to_owned(),
    );
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    let report = "report Error generation=2 CannotWritePolicyFile \"creating policy file: full\"";
    assert_eq!(steps, [report, "count-error CannotWritePolicyFile"]);
}
