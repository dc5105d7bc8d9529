//! SelinuxProfiles of foreign words, and foreign raw policies: what passes is one block, whose
//! statements are the profile's own; and a rendered profile reads back as the same profile.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use spo_api::selinux_profile::{Allow, Inherit, InheritKind, Mode, SELF, SelinuxProfileSpec};
use spo_profile::selinux::cil::{canonical, parse::parse, render};
use spo_profile::selinux::limits::Limits;
use spo_profile::selinux::name::BlockName;
use spo_profile::selinux::raw;
use spo_profile::selinux::tree::{Tree, read};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    name: String,
    permissive: bool,
    inherit: Vec<(bool, String)>,
    rules: Vec<(Option<String>, String, Vec<String>)>,
    policy: String,
}

fuzz_target!(|input: Input| {
    let Ok(name) = BlockName::parse(&input.name).or_else(|_| BlockName::parse("web")) else {
        return;
    };
    check_policy(&name, &input.policy);
    check_profile(&name, &spec(input));
});

fn spec(input: Input) -> SelinuxProfileSpec {
    let mut allow = Allow::new();
    for (label, class, permissions) in input.rules {
        let label = label.unwrap_or_else(|| SELF.to_owned());
        allow.entry(label).or_default().insert(class, permissions);
    }
    let inherit = input.inherit.into_iter().map(|(system, name)| Inherit {
        kind: if system {
            InheritKind::System
        } else {
            InheritKind::SelinuxProfile
        },
        name,
    });
    SelinuxProfileSpec {
        mode: if input.permissive {
            Mode::Permissive
        } else {
            Mode::Enforcing
        },
        // A profile of that name is refused before it comes to this.
        inherit: inherit
            .filter(|entry| entry.kind == InheritKind::System || entry.name != "container")
            .collect(),
        allow,
        ..SelinuxProfileSpec::default()
    }
}

fn check_profile(name: &BlockName, spec: &SelinuxProfileSpec) {
    let limits = Limits::default();
    let Ok(text) = render(name, spec, &limits) else {
        return;
    };
    let trees = read(&text).expect("what is rendered is CIL");
    let [Tree::List(block)] = trees.as_slice() else {
        panic!("not one block: {text}");
    };
    let mut said = BTreeSet::new();
    for statement in &block[2..] {
        let parts = statement.list().expect("a statement is a list");
        if let [Tree::Word("allow"), Tree::Word("process"), Tree::Word(target), access] = parts {
            let [Tree::Word(class), Tree::List(permissions)] = access.list().expect("a list")
            else {
                panic!("not an access: {text}");
            };
            for permission in permissions {
                said.insert((*target, *class, permission.word().expect("a permission")));
            }
        }
    }
    let own = name.usage();
    let mut meant = BTreeSet::new();
    for (label, classes) in &spec.allow {
        let target = if label == SELF { &own } else { label };
        for (class, permissions) in classes {
            meant.extend(permissions.iter().map(|p| (&**target, &**class, &**p)));
        }
    }
    assert_eq!(said, meant, "{text}");
    for denied in ["shadow_t", "capability", "relabelto", "all", "not"] {
        let denies = |(target, class, permission): &(&str, &str, &str)| {
            target.trim_start_matches('.') == denied && denied == "shadow_t"
                || class.trim_start_matches('.') == denied && denied == "capability"
                || *permission == denied && denied != "shadow_t" && denied != "capability"
        };
        assert!(!said.iter().any(denies), "{text}");
    }
    let parsed = parse(&text, &limits);
    assert_eq!(parsed, Ok((name.clone(), canonical(name, spec))), "{text}");
}

fn check_policy(name: &BlockName, policy: &str) {
    if raw::check(policy, &|block| block == "container").is_err() {
        return;
    }
    let wrapped = raw::wrap(name, policy);
    let trees = read(&wrapped).expect("what passes can be read");
    let [Tree::List(block)] = trees.as_slice() else {
        panic!("not one block: {wrapped}");
    };
    assert_eq!(block[..2], [Tree::Word("block"), Tree::Word(name.as_str())]);
    assert!(raw::is_wrapped(name, &wrapped));
}
