//! Whether foreign bytes were rendered by an operator: never yes about something that has other
//! members than a rendered file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use spo_profile::seccomp::render::is_rendered;

const MEMBERS: [&str; 8] = [
    "state",
    "baseProfileName",
    "defaultAction",
    "architectures",
    "listenerPath",
    "listenerMetadata",
    "syscalls",
    "flags",
];

fuzz_target!(|bytes: &[u8]| {
    if !is_rendered(bytes) {
        return;
    }
    let value: Value = serde_json::from_slice(bytes).expect("a rendered file is JSON");
    let members = value.as_object().expect("a rendered file is an object");
    assert!(
        members.keys().all(|name| MEMBERS.contains(&name.as_str())),
        "{value}"
    );
    let text = |name: &str| {
        members
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    assert!(["Enabled", "Disabled"].contains(&text("state")), "{value}");
    assert!(text("defaultAction").starts_with("SCMP_ACT_"), "{value}");
});
