//! Plans as text: the order of effects is data, so it is asserted here and not hoped for.

use super::*;
use spo_api::apparmor_profile::AppArmorProfileSpec;

const STATUS: &str = "web-node-1-0123456789";

/// A profile that is new to the node.
fn new_profile() -> Inputs {
    Inputs {
        name: "web".to_owned(),
        file: Ok("web".to_owned()),
        profile: Some(Profile {
            generation: Some(2),
            deletion: Deletion::No,
            partial: false,
            disabled: false,
            in_use: false,
            wanted: Ok(wanted(Mode::Enforce)),
        }),
        on_disk: OnDisk::Absent,
        kernel: Ok(None),
        remembered: None,
        reported: Reported {
            report: None,
            status_name: STATUS.to_owned(),
            statuses: Vec::new(),
        },
    }
}

fn wanted(mode: Mode) -> Wanted {
    let text = apparmor::render("web", &AppArmorProfileSpec::default()).unwrap();
    Wanted {
        key: Key::of(&format!("{text}{mode}"), "4.1"),
        text,
        mode,
        raw: false,
    }
}

/// The same, installed and reported.
fn installed() -> Inputs {
    let wanted = wanted(Mode::Enforce);
    Inputs {
        on_disk: OnDisk::File(wanted.text.clone().into_bytes()),
        kernel: Ok(Some(loaded(Mode::Enforce, 1))),
        remembered: Some(Remembered {
            key: wanted.key,
            digest: Some([1; 32]),
            this_boot: true,
        }),
        reported: Reported {
            report: Some(said(ProfileState::Installed)),
            status_name: STATUS.to_owned(),
            statuses: vec![STATUS.to_owned()],
        },
        ..new_profile()
    }
}

fn loaded(mode: Mode, digest: u8) -> Loaded {
    Loaded {
        mode,
        digest: Some([digest; 32]),
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

fn profile(inputs: &mut Inputs) -> &mut Profile {
    inputs.profile.as_mut().unwrap()
}

/// What is planned. Whatever is to be compiled becomes five bytes. A text that need not be compiled
/// must not be.
fn steps(inputs: &Inputs) -> Vec<String> {
    let compiled = to_compile(inputs).map(|_| Compiled::Binary(vec![0; 5]));
    let steps = plan(inputs, compiled.as_ref());
    steps.iter().map(ToString::to_string).collect()
}

fn check(inputs: &Inputs, expected: &[&str]) {
    assert_eq!(steps(inputs), expected);
}

fn write() -> String {
    format!("write web {} B", wanted(Mode::Enforce).text.len())
}

#[test]
fn the_file_comes_first_and_the_report_last() {
    check(
        &new_profile(),
        &[
            &write(),
            "load web (enforce) 5 B",
            "count update",
            "report Installed generation=2",
        ],
    );
}

#[test]
fn what_is_as_it_should_be_is_not_even_compiled() {
    assert_eq!(to_compile(&installed()), None);
    check(&installed(), &[]);
    // A new generation with the same text is only reported.
    let mut inputs = installed();
    profile(&mut inputs).generation = Some(3);
    check(&inputs, &["report Installed generation=3"]);
}

#[test]
fn after_a_boot_it_is_loaded_again_without_a_word() {
    let mut inputs = installed();
    inputs.kernel = Ok(None);
    inputs.remembered.as_mut().unwrap().this_boot = false;
    check(&inputs, &["load web (enforce) 5 B", "count update"]);
    // Of the memory nothing is left, the file is.
    inputs.remembered = None;
    check(&inputs, &["load web (enforce) 5 B", "count update"]);
    // The host has loaded the file by itself, and it is the same.
    let mut inputs = installed();
    inputs.remembered.as_mut().unwrap().this_boot = false;
    check(&inputs, &[]);
    // Or its parser makes something else of it.
    inputs.kernel = Ok(Some(loaded(Mode::Enforce, 9)));
    check(&inputs, &["load web (enforce) 5 B", "count update"]);
}

#[test]
fn a_kernel_that_keeps_no_digests_is_believed_until_the_next_boot() {
    let mut inputs = installed();
    inputs.kernel = Ok(Some(Loaded {
        mode: Mode::Enforce,
        digest: None,
    }));
    inputs.remembered.as_mut().unwrap().digest = None;
    check(&inputs, &[]);
    inputs.remembered.as_mut().unwrap().this_boot = false;
    check(&inputs, &["load web (enforce) 5 B", "count update"]);
}

#[test]
fn what_others_do_to_it_is_undone_and_told() {
    let load = "load web (enforce) 5 B";
    let told = |what: &str| {
        format!("publish RestoredAppArmorProfile \"{what} by somebody else and has been restored\"")
    };
    let with = |change: &dyn Fn(&mut Inputs)| {
        let mut inputs = installed();
        change(&mut inputs);
        inputs
    };
    check(
        &with(&|inputs| inputs.kernel = Ok(None)),
        &[
            load,
            "count update",
            &told("profile web was removed from the kernel"),
        ],
    );
    let changed = told("profile web was changed in the kernel");
    for now in [loaded(Mode::Enforce, 2), loaded(Mode::Complain, 1)] {
        check(
            &with(&|inputs| inputs.kernel = Ok(Some(now.clone()))),
            &[load, "count update", &changed],
        );
    }
    check(
        &with(&|inputs| inputs.on_disk = OnDisk::Absent),
        &[
            &write(),
            "count update",
            &told("/etc/apparmor.d/web was deleted"),
        ],
    );
    for on_disk in [OnDisk::File(b"profile web {}".to_vec()), OnDisk::Strange] {
        check(
            &with(&|inputs| inputs.on_disk = on_disk.clone()),
            &[
                &write(),
                "count update",
                &told("/etc/apparmor.d/web was changed"),
            ],
        );
    }
}

#[test]
fn a_change_of_the_profile_is_no_tampering() {
    let mut inputs = installed();
    profile(&mut inputs).wanted = Ok(wanted(Mode::Complain));
    profile(&mut inputs).generation = Some(3);
    check(
        &inputs,
        &[
            "load web (complain) 5 B",
            "count update",
            "report Installed generation=3",
        ],
    );
}

#[test]
fn a_text_that_the_parser_refuses_is_told_once_and_changes_nothing() {
    let refused = Compiled::Refused("parsing profile: line 3: syntax error".to_owned());
    let plan = |inputs: &Inputs| {
        let steps = plan(inputs, Some(&refused));
        steps.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let report = "report Error generation=2 CannotLoadAppArmorProfile \"cannot load profile into \
                  node: parsing profile: line 3: syntax error\"";
    let count = "count-error CannotLoadAppArmorProfile";
    assert_eq!(plan(&new_profile()), [report, count]);
    // The version before stays loaded: less would be confined without it.
    let mut inputs = installed();
    profile(&mut inputs).wanted = Ok(wanted(Mode::Complain));
    assert_eq!(plan(&inputs), [report, count]);
    inputs.reported.report = Some(Report {
        reason: Some(CANNOT_LOAD.to_owned()),
        message: Some(
            "cannot load profile into node: parsing profile: line 3: syntax error".to_owned(),
        ),
        ..said(ProfileState::Error)
    });
    assert_eq!(plan(&inputs), [""; 0]);
    assert!(!is_unsure(&inputs, Some(&refused)));
    assert!(is_unsure(&inputs, Some(&Compiled::Failed(String::new()))));
}

#[test]
fn what_somebody_else_loaded_is_never_touched() {
    let loaded_by_others = Inputs {
        kernel: Ok(Some(loaded(Mode::Enforce, 7))),
        ..new_profile()
    };
    let file_of_others = Inputs {
        on_disk: OnDisk::File(b"profile web {}\n".to_vec()),
        ..new_profile()
    };
    let both = Inputs {
        on_disk: file_of_others.on_disk.clone(),
        ..loaded_by_others.clone()
    };
    let link = Inputs {
        on_disk: OnDisk::Strange,
        ..new_profile()
    };
    for mut inputs in [loaded_by_others, file_of_others, both, link] {
        let told = steps(&inputs);
        assert_eq!(told.len(), 2, "{told:?}");
        let start = "report Error generation=2 CannotLoadAppArmorProfile \"cannot load profile \
                     into node: profile exists: ";
        assert!(told[0].starts_with(start), "{told:?}");
        assert!(told[0].contains("another name"), "{told:?}");
        assert_eq!(told[1], "count-error CannotLoadAppArmorProfile");
        // Not when the object goes, either, however it goes.
        inputs.reported.statuses = vec![STATUS.to_owned()];
        profile(&mut inputs).deletion = Deletion::Released;
        check(&inputs, &["withdraw web-node-1-0123456789"]);
        profile(&mut inputs).deletion = Deletion::No;
        profile(&mut inputs).disabled = true;
        check(&inputs, &["report Disabled generation=2"]);
        inputs.profile = None;
        check(&inputs, &["withdraw web-node-1-0123456789"]);
    }
}

#[test]
fn ours_is_what_any_of_three_says_is_ours() {
    let header = wanted(Mode::Enforce).text.into_bytes();
    let ours: [&dyn Fn(&mut Inputs); 3] = [
        &|inputs| inputs.on_disk = OnDisk::File(header.clone()),
        &|inputs| inputs.reported.report = Some(said(ProfileState::Installed)),
        &|inputs| {
            inputs.remembered = Some(Remembered {
                key: Key::of("", ""),
                digest: None,
                this_boot: false,
            });
        },
    ];
    for change in ours {
        let mut inputs = Inputs {
            kernel: Ok(Some(loaded(Mode::Enforce, 7))),
            ..new_profile()
        };
        change(&mut inputs);
        let planned = steps(&inputs);
        assert!(
            planned.contains(&"load web (enforce) 5 B".to_owned()),
            "{planned:?}"
        );
        profile(&mut inputs).deletion = Deletion::Released;
        assert_eq!(steps(&inputs)[0], "unload web");
    }
    // That this node has said anything else of it does not make it ours.
    let mut inputs = Inputs {
        kernel: Ok(Some(loaded(Mode::Enforce, 7))),
        ..new_profile()
    };
    inputs.reported.report = Some(said(ProfileState::Error));
    assert!(!steps(&inputs).iter().any(|step| step.starts_with("load")));
}

#[test]
fn a_deletion_takes_the_kernel_first_and_the_report_last() {
    let mut inputs = installed();
    for (deletion, expected) in [
        (Deletion::Undecided, &[][..]),
        (
            Deletion::HeldBack,
            &["report Terminating generation=2 \"kept while pods use the profile\""],
        ),
        (
            Deletion::Released,
            &[
                "unload web",
                "remove web",
                "count delete",
                "withdraw web-node-1-0123456789",
            ],
        ),
    ] {
        profile(&mut inputs).deletion = deletion;
        check(&inputs, expected);
    }
    // The object is gone before anybody looked.
    inputs.profile = None;
    check(
        &inputs,
        &[
            "unload web",
            "remove web",
            "count delete",
            "withdraw web-node-1-0123456789",
        ],
    );
    // What the kernel has forgotten already need not be taken from it.
    inputs.kernel = Ok(None);
    check(
        &inputs,
        &[
            "remove web",
            "count delete",
            "withdraw web-node-1-0123456789",
        ],
    );
}

#[test]
fn a_profile_that_is_an_object_only_is_taken_off_unless_pods_use_it() {
    let mut inputs = installed();
    profile(&mut inputs).disabled = true;
    check(
        &inputs,
        &[
            "unload web",
            "remove web",
            "count delete",
            "report Disabled generation=2",
        ],
    );
    profile(&mut inputs).in_use = true;
    check(
        &inputs,
        &["report Disabled generation=2 \"the profile stays loaded while pods use it\""],
    );
    let mut inputs = new_profile();
    profile(&mut inputs).partial = true;
    profile(&mut inputs).in_use = true;
    check(&inputs, &["report Partial generation=2"]);
}

#[test]
fn what_can_not_be_seen_is_not_acted_on() {
    let mut inputs = installed();
    inputs.kernel = Err("cannot read x".to_owned());
    assert_eq!(to_compile(&inputs), None);
    assert!(is_unsure(&inputs, None));
    check(
        &inputs,
        &[
            "report Error generation=2 CannotLoadAppArmorProfile \"cannot load profile into \
             node: cannot see what is loaded: cannot read x\"",
            "count-error CannotLoadAppArmorProfile",
        ],
    );
    // A removal is tried: the kernel says whether it was there.
    profile(&mut inputs).deletion = Deletion::Released;
    assert_eq!(steps(&inputs)[0], "unload web");
    let inputs = Inputs {
        on_disk: OnDisk::Unreadable("no".to_owned()),
        ..new_profile()
    };
    assert!(is_unsure(&inputs, None));
    check(
        &inputs,
        &[
            "report Error generation=2 CannotLoadAppArmorProfile \"cannot load profile into \
             node: cannot read /etc/apparmor.d/web: no\"",
            "count-error CannotLoadAppArmorProfile",
        ],
    );
}

#[test]
fn a_profile_without_a_text_or_a_file_says_why() {
    let mut inputs = new_profile();
    profile(&mut inputs).wanted = Err("spec.policy: no".to_owned());
    check(
        &inputs,
        &[
            "report Error generation=2 CannotLoadAppArmorProfile \"cannot load profile into \
             node: spec.policy: no\"",
            "count-error CannotLoadAppArmorProfile",
        ],
    );
    let inputs = Inputs {
        file: Err("metadata.name: no".to_owned()),
        ..new_profile()
    };
    check(
        &inputs,
        &[
            "report Error generation=2 CannotLoadAppArmorProfile \"cannot load profile into \
             node: metadata.name: no\"",
            "count-error CannotLoadAppArmorProfile",
        ],
    );
}

#[test]
fn a_step_that_failed_is_told() {
    let told = |inputs: &Inputs| {
        let steps = after_failure(inputs, CANNOT_LOAD, "why".to_owned());
        steps.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&new_profile()),
        [
            "report Error generation=2 CannotLoadAppArmorProfile \"why\"",
            "count-error CannotLoadAppArmorProfile",
        ]
    );
    let mut gone = installed();
    gone.profile = None;
    assert_eq!(told(&gone), ["count-error CannotLoadAppArmorProfile"]);
}
