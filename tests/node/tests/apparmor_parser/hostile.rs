//! Values which try to be more than a value: each is refused, or stays one value.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use spo_api::apparmor_profile::AppArmorProfileSpec;
use spo_profile::apparmor;

use super::parser;
use super::spec::NAME;

/// Pieces of AppArmor's language.
const PIECES: [&str; 40] = [
    "\"",
    "\\",
    "\n",
    "\r",
    "\t",
    " ",
    ",",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "^",
    "-",
    "=",
    ":",
    "#",
    "@",
    "@{",
    "@{pid}",
    "*",
    "**",
    "?",
    "/",
    "..",
    "a",
    "b",
    "0",
    "->",
    " r,",
    " rwix,\n",
    "\0",
    "é",
    "//&",
    "unconfined",
    "ptrace (read),",
    "#include </etc/passwd>",
    "profile x {\n",
    "include <abstractions/base>",
];

/// What the value begins with, so that it gets past the first look.
const BEGINNINGS: [&str; 6] = ["", "/", "/a", "@", "@{PROC}", "ptrace (read),"];

/// The specifications which hold a value in each of their fields of text.
fn everywhere(value: &str) -> Vec<Value> {
    let access = json!(["Read"]);
    vec![
        json!({"executable": {"allowedExecutables": [value]}}),
        json!({"executable": {"allowedLibraries": [value]}}),
        json!({"executable": {"deniedExecutables": [value]}}),
        json!({"executable": {"transitions": [{"path": value, "profile": "a"}]}}),
        json!({"executable": {"transitions": [{"path": "/a", "profile": value}]}}),
        json!({"filesystem": {"readOnlyPaths": [value]}}),
        json!({"filesystem": {"writeOnlyPaths": [value]}}),
        json!({"filesystem": {"readWritePaths": [value]}}),
        json!({"filesystem": {"allowedPaths": [{"path": value, "access": access}]}}),
        json!({"filesystem": {"deniedPaths": [{"path": value, "access": access}]}}),
        json!({"capability": {"allowedCapabilities": [value]}}),
        json!({"mount": {"allowedMounts": [{"fsTypes": [value]}]}}),
        json!({"mount": {"allowedMounts": [{"options": [value]}]}}),
        json!({"mount": {"allowedMounts": [{"source": value}]}}),
        json!({"mount": {"allowedMounts": [{"target": value}]}}),
        json!({"mount": {"allowedUnmounts": [value]}}),
        json!({"signal": {"allowedSignals": [{"access": ["Send"], "signals": [value]}]}}),
        json!({"signal": {"allowedSignals": [{"access": ["Send"], "peer": value}]}}),
        json!({"ptrace": {"allowedTraces": [{"access": ["Read"], "peer": value}]}}),
        json!({"unix": {"allowedSockets": [{"access": ["Send"], "address": value}]}}),
        json!({"unix": {"allowedSockets": [{"access": ["Send"], "peerAddress": value}]}}),
        json!({"unix": {"allowedSockets": [{"access": ["Send"], "peer": value}]}}),
    ]
}

/// Rules of each class, where a rule for a file is one for each path.
fn rules(text: &str) -> Result<usize, String> {
    let found = parser::examine(text)?;
    assert_eq!(found.names, [NAME], "{text}");
    let others: usize = found.rules.values().sum();
    Ok(found.files.len() + found.capabilities.len() + others)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_stays_one_value(
        beginning in select(&BEGINNINGS[..]),
        pieces in prop::collection::vec(select(&PIECES[..]), 0..5),
    ) {
        let value = format!("{beginning}{}", pieces.concat());
        // In this mode a field is one rule: nothing is denied.
        let spec = |rules: Value| -> AppArmorProfileSpec {
            serde_json::from_value(json!({"mode": "Complain", "abstract": rules})).unwrap()
        };
        let without = rules(&apparmor::render(NAME, &spec(json!({}))).unwrap()).unwrap();
        for fields in everywhere(&value) {
            let Ok(text) = apparmor::render(NAME, &spec(fields.clone())) else {
                continue;
            };
            let denies = fields.to_string().contains("denied");
            let more = match rules(&text) {
                Ok(with) => with - without,
                // Which variables there are is up to the node.
                Err(error) if error.contains("never declared") => continue,
                Err(error) => panic!("{fields}\n{text}\n{error}"),
            };
            prop_assert_eq!(more, usize::from(!denies), "{}\n{}", fields, text);
        }
    }
}

#[test]
fn names_stay_names() {
    for name in [
        "",
        "a b",
        "a{",
        "a\n",
        ":ns:a",
        "a,",
        "\"a\"",
        "@{pid}",
        "unconfined",
        "é",
        "a#",
        "a*",
    ] {
        let rendered = apparmor::render(name, &AppArmorProfileSpec::default());
        assert!(rendered.is_err(), "{name}");
    }
    for name in [
        "a",
        "0",
        "a.b-c",
        "profile",
        "hat",
        "flags",
        "include",
        "if",
        "network",
        "deny",
        "r",
        "-",
        "/usr/bin/a",
    ] {
        let text = apparmor::render(name, &AppArmorProfileSpec::default()).unwrap();
        let names = parser::examine(&text).unwrap().names;
        assert_eq!(names, [name]);
    }
}
