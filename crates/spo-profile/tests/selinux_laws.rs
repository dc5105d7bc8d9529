//! Laws of rendering and parsing SelinuxProfiles, and of the check of raw policies, on generated
//! ones. What may stand in a policy is written down here a second time.
#![expect(clippy::unwrap_used, reason = "a test helper may panic like a test")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;
use spo_api::selinux_profile::{Inherit, InheritKind, Mode, SELF, SelinuxProfileSpec};
use spo_api::spod::SelinuxOptions;
use spo_profile::selinux::cil::{canonical, parse::parse, render};
use spo_profile::selinux::limits::Limits;
use spo_profile::selinux::name::BlockName;
use spo_profile::selinux::raw;
use spo_profile::selinux::tree::{Tree, read};

/// Words that can stand anywhere.
const GOOD: &[&str] = &["a", "http_port_t", "tcp_socket", "read", "x-1", "B2"];
/// Words that are denied somewhere, mean something somewhere, or are no words.
const EVIL: &[&str] = &[
    "shadow_t",
    ".shadow_t",
    "..shadow_t",
    "capability",
    ".capability",
    "relabelto",
    "all",
    "not",
    "xor",
    "notself",
    "other",
    "",
    " ",
    "1",
    "a b",
    "a)",
    "(a",
    "a;",
    "\"",
    "a\n",
    "\0",
    "é",
    ".",
    "a.",
    "a.b",
    SELF,
    "self",
    "web.process",
];

fn limits() -> Limits {
    Limits::of(&SelinuxOptions {
        allowed_system_profiles: vec!["container".to_owned(), "net_container".to_owned()],
        ..SelinuxOptions::default()
    })
}

fn name() -> BlockName {
    BlockName::parse("web").unwrap()
}

fn word(evil: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        40 => select(GOOD),
        evil => select(EVIL),
    ]
    .prop_map(str::to_owned)
}

fn inherit() -> impl Strategy<Value = Inherit> {
    use InheritKind::{SelinuxProfile, System};
    let entries = [
        (System, "container"),
        (System, "net_container"),
        (SelinuxProfile, "base-web"),
        (SelinuxProfile, "other-base"),
    ];
    (0..entries.len()).prop_map(move |index| Inherit {
        kind: entries[index].0,
        name: entries[index].1.to_owned(),
    })
}

fn spec(evil: u32) -> impl Strategy<Value = SelinuxProfileSpec> {
    use proptest::collection::{btree_map, vec};
    let label = prop_oneof![6 => word(evil), 1 => Just(SELF.to_owned())];
    let classes = btree_map(word(evil), vec(word(evil), 0..4), 0..3);
    (
        any::<bool>(),
        vec(inherit(), 0..4),
        btree_map(label, classes, 0..4),
    )
        .prop_map(|(permissive, inherit, allow)| SelinuxProfileSpec {
            mode: if permissive {
                Mode::Permissive
            } else {
                Mode::Enforcing
            },
            inherit,
            allow,
            ..SelinuxProfileSpec::default()
        })
}

/// Whether a profile may be rendered, by the words above.
fn is_fine(spec: &SelinuxProfileSpec) -> bool {
    let good = |word: &str| GOOD.contains(&word);
    let class = |word: &str| {
        good(word)
            || matches!(
                word,
                "shadow_t" | ".shadow_t" | "relabelto" | "all" | "not" | "xor"
            )
            || matches!(word, "notself" | "other" | "a.b" | "self" | "web.process")
    };
    let label = |word: &str| {
        word == SELF
            || matches!(
                word,
                "capability" | ".capability" | "a.b" | "self" | "web.process"
            )
            || matches!(word, "relabelto" | "all" | "not" | "xor")
            || good(word)
    };
    let permission = |word: &str| {
        good(word)
            || matches!(
                word,
                "shadow_t" | "capability" | "notself" | "other" | "self"
            )
    };
    spec.allow.iter().all(|(key, classes)| {
        let rules = |(key, permissions): (&String, &Vec<String>)| {
            class(key) && permissions.iter().all(|word| permission(word))
        };
        // A denied type without a rule is no more than a word.
        (label(key) || (classes.is_empty() && key.ends_with("shadow_t") && key != "..shadow_t"))
            && classes.iter().all(rules)
    })
}

/// Every permission of a profile, by target and class.
fn grants(spec: &SelinuxProfileSpec) -> BTreeSet<(String, String, String)> {
    let mut grants = BTreeSet::new();
    for (label, classes) in &spec.allow {
        let target = if label == SELF { "web.process" } else { label };
        for (class, permissions) in classes {
            for permission in permissions {
                let grant = (target.to_owned(), class.clone(), permission.clone());
                grants.insert(grant);
            }
        }
    }
    grants
}

/// Every permission of a text.
fn grants_of_text(text: &str) -> BTreeSet<(String, String, String)> {
    let trees = read(text).unwrap();
    assert_eq!(trees.len(), 1, "{text}");
    let mut grants = BTreeSet::new();
    for statement in trees[0].list().unwrap().iter().skip(2) {
        let parts = statement.list().unwrap();
        if parts[0] != Tree::Word("allow") {
            continue;
        }
        assert_eq!((parts.len(), &parts[1]), (4, &Tree::Word("process")));
        let target = parts[2].word().unwrap();
        let access = parts[3].list().unwrap();
        let class = access[0].word().unwrap();
        for permission in access[1].list().unwrap() {
            let permission = permission.word().unwrap().to_owned();
            grants.insert((target.to_owned(), class.to_owned(), permission));
        }
    }
    grants
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_rendered_says_what_the_profile_says(spec in spec(0)) {
        let text = render(&name(), &spec, &limits()).unwrap();
        prop_assert_eq!(grants_of_text(&text), grants(&spec));
        let expected = canonical(&name(), &spec);
        let (block, parsed) = parse(&text, &limits()).unwrap();
        prop_assert_eq!((block, &parsed), (name(), &expected));
        // The form that parsing returns is the same profile, and its own form.
        let again = render(&name(), &parsed, &limits()).unwrap();
        prop_assert_eq!(grants_of_text(&again), grants(&spec));
        prop_assert_eq!(canonical(&name(), &parsed), parsed);
    }

    #[test]
    fn only_what_may_stand_there_is_rendered(spec in spec(2)) {
        let said = render(&name(), &spec, &limits());
        prop_assert_eq!(said.is_ok(), is_fine(&spec), "{:?}", said);
        if let Ok(text) = said {
            prop_assert_eq!(grants_of_text(&text), grants(&spec));
        }
    }

    #[test]
    fn order_and_repetition_do_not_matter(spec in spec(0), turn in 0..4_usize) {
        let mut turned = spec.clone();
        for permissions in turned.allow.values_mut().flat_map(BTreeMap::values_mut) {
            let length = permissions.len();
            if length > 0 {
                permissions.rotate_left(turn % length);
                permissions.push(permissions[0].clone());
            }
        }
        turned.inherit.extend(spec.inherit.iter().cloned());
        let render = |spec| render(&name(), spec, &limits()).unwrap();
        prop_assert_eq!(render(&spec), render(&turned));
    }

    /// A raw policy that passes is the body of one block, and nothing else.
    #[test]
    fn a_raw_policy_stays_in_its_block(pieces in proptest::collection::vec(select(&[
        "(", ")", "(", ")", ";", "\"", "\n", "\r", " ", "a", ";;*", "lme", "(blockinherit container)",
        "(allow process a (b (c)))", "(in x (y))", "\u{a0}", "\t", "block",
    ][..]), 0..12)) {
        let policy = pieces.concat();
        if raw::check(&policy, &|name| name == "container").is_ok() {
            let wrapped = raw::wrap(&name(), &policy);
            prop_assert!(raw::is_wrapped(&name(), &wrapped));
            let trees = read(&wrapped).unwrap();
            prop_assert_eq!(trees.len(), 1);
            let statements = trees[0].list().unwrap();
            prop_assert_eq!(&statements[..2], &[Tree::Word("block"), Tree::Word("web")]);
            // A word that is trimmed, U+00A0, is none to anybody.
            let body = format!(" {}", policy.trim());
            prop_assert_eq!(&statements[2..], read(&body).unwrap());
        }
    }
}
