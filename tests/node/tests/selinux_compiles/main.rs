//! What is rendered of SELinux profiles, the real compiler takes, and the policy that it makes
//! says nothing else. What would leave the block of a raw policy, the compiler would let.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "these files are for a compiler, in a directory of their own"
)]

mod compiler;
mod raw;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use spo_api::selinux_profile::{Allow, Inherit, InheritKind, Mode, SELF, SelinuxProfileSpec};
use spo_api::spod::SelinuxOptions;
use spo_profile::selinux::cil::render;
use spo_profile::selinux::limits::Limits;
use spo_profile::selinux::name::BlockName;

use compiler::{Policy, added, compile};

/// Profiles that are compiled together.
const PROFILES: usize = 300;

/// Rounds of that.
const ROUNDS: usize = 4;

fn limits() -> Limits {
    Limits::of(&SelinuxOptions {
        allowed_system_profiles: vec!["container".to_owned(), "net_container".to_owned()],
        ..SelinuxOptions::default()
    })
}

fn name(text: &str) -> BlockName {
    BlockName::parse(text).unwrap()
}

/// What the policy must say about a profile, and nothing else: written down from its fields.
/// `parents` are the profiles that it inherits, directly or not.
fn expected(
    name: &str,
    spec: &SelinuxProfileSpec,
    parents: &[(&str, &SelinuxProfileSpec)],
) -> Policy {
    let own = format!("{name}.process");
    let mut policy = Policy::from([
        format!("type {own}"),
        format!("roletype system_r {own}"),
        format!("roletype object_r {own}"),
        format!("allow {own} {own} process signal"),
    ]);
    let itself = (name, spec);
    for (of, spec) in parents.iter().chain([&itself]) {
        if spec.mode == Mode::Permissive {
            policy.insert(format!("typepermissive {own}"));
        }
        if spec
            .inherit
            .iter()
            .any(|inherit| inherit.name == "net_container")
        {
            policy.insert(format!("allow {own} http_port_t tcp_socket name_bind"));
        }
        for (label, classes) in &spec.allow {
            let target = match label.as_str() {
                SELF => format!("{of}.process"),
                "self" | "process" => own.clone(),
                other => other.trim_start_matches('.').to_owned(),
            };
            for (class, permission) in classes
                .iter()
                .flat_map(|(class, all)| all.iter().map(move |permission| (class, permission)))
            {
                let class = class.trim_start_matches('.');
                policy.insert(format!("allow {own} {target} {class} {permission}"));
            }
        }
    }
    policy
}

fn allow() -> impl Strategy<Value = Allow> {
    let labels = select(
        &[
            SELF,
            "self",
            "process",
            "http_port_t",
            ".http_port_t",
            "var_log_t",
            "log_type",
            "container.process",
            ".p0.process",
            "Aa_t",
        ][..],
    );
    let file = select(&["append", "create", "getattr", "open", "read", "write"][..]);
    let dir = select(&["add_name", "search", "read"][..]);
    let socket = select(&["accept", "listen", "name_bind"][..]);
    let rule = |class: &'static str, permission: proptest::sample::Select<&'static str>| {
        let permissions = proptest::collection::vec(permission.prop_map(str::to_owned), 0..5);
        permissions.prop_map(move |permissions| (class.to_owned(), permissions))
    };
    let class = prop_oneof![
        rule("file", file.clone()),
        rule(".file", file),
        rule("dir", dir),
        rule("tcp_socket", socket),
    ];
    let classes = proptest::collection::vec(class, 0..4).prop_map(BTreeMap::from_iter);
    let label = labels.prop_map(str::to_owned);
    proptest::collection::btree_map(label, classes, 0..5)
}

/// What profiles inherit of the node.
const SYSTEM: &[&[&str]] = &[
    &[],
    &["container"],
    &["net_container"],
    &["net_container", "container"],
];

/// A profile, with the number of the one before that it inherits, modulo their count.
fn spec() -> impl Strategy<Value = (SelinuxProfileSpec, Option<usize>)> {
    let system = select(SYSTEM);
    let parent = prop_oneof![3 => Just(None), 1 => any::<usize>().prop_map(Some)];
    (allow(), system, parent, any::<bool>()).prop_map(|(allow, system, parent, permissive)| {
        let system = system.iter().map(|name| Inherit {
            kind: InheritKind::System,
            name: (*name).to_owned(),
        });
        let mode = if permissive {
            Mode::Permissive
        } else {
            Mode::Enforcing
        };
        let spec = SelinuxProfileSpec {
            mode,
            inherit: system.collect(),
            allow,
            ..SelinuxProfileSpec::default()
        };
        (spec, parent)
    })
}

/// Profiles with the chains of numbers that they inherit.
fn profiles(runner: &mut TestRunner) -> Vec<(SelinuxProfileSpec, Vec<usize>)> {
    let mut profiles: Vec<(SelinuxProfileSpec, Vec<usize>)> = Vec::new();
    for index in 0..PROFILES {
        let (mut spec, parent) = spec().new_tree(runner).unwrap().current();
        let mut chain = Vec::new();
        if let Some(parent) = parent.filter(|_| index > 0) {
            let parent = parent % index;
            chain.push(parent);
            chain.extend(&profiles[parent].1);
            // Its optional part has a name, and a block can have that once.
            let inherits = |index: &usize| {
                let inherit = &profiles[*index].0.inherit;
                inherit
                    .iter()
                    .any(|inherit| inherit.name == "net_container")
            };
            if chain.iter().any(inherits) {
                spec.inherit
                    .retain(|inherit| inherit.name != "net_container");
            }
            spec.inherit.push(Inherit {
                kind: InheritKind::SelinuxProfile,
                name: format!("p{parent}"),
            });
        }
        profiles.push((spec, chain));
    }
    profiles
}

#[test]
fn the_compiler_takes_what_is_rendered_and_finds_nothing_else_in_it() {
    let mut runner = TestRunner::deterministic();
    for round in 0..ROUNDS {
        let profiles = profiles(&mut runner);
        let names: Vec<String> = (0..PROFILES).map(|index| format!("p{index}")).collect();
        let mut texts = Vec::new();
        let mut all = Policy::new();
        for (index, (spec, chain)) in profiles.iter().enumerate() {
            texts.push(render(&name(&names[index]), spec, &limits()).unwrap());
            let parents: Vec<(&str, &SelinuxProfileSpec)> = chain
                .iter()
                .map(|parent| (names[*parent].as_str(), &profiles[*parent].0))
                .collect();
            all.extend(expected(&names[index], spec, &parents));
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let policy = compile(&texts).unwrap_or_else(|said| panic!("round {round}: {said}"));
        let added = added(&policy);
        let more: Vec<&String> = added.difference(&all).collect();
        let less: Vec<&String> = all.difference(&added).collect();
        assert_eq!((more, less), (vec![], vec![]), "round {round}");
    }
}

/// The same files that `cargo test -p spo-profile` compares byte for byte.
#[test]
fn the_compiler_takes_the_golden_files() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/spo-profile/tests/golden/selinux");
    let mut compiled = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cil") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let base_web =
            render(&name("base-web"), &SelinuxProfileSpec::default(), &limits()).unwrap();
        let policy = compile(&[&text, &base_web]).unwrap_or_else(|said| panic!("{path:?}: {said}"));
        assert!(!added(&policy).is_empty());
        compiled += 1;
    }
    assert!(compiled >= 7, "{compiled} golden files");
}
