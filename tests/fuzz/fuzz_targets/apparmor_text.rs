//! AppArmor profiles with foreign texts in every field: what is rendered has the lines of these
//! fields, each one rule, and no others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use spo_api::apparmor_profile::AppArmorProfileSpec;
use spo_profile::apparmor;

fn text(rules: &Value) -> Option<String> {
    let spec = json!({"mode": "Complain", "abstract": rules});
    let spec: AppArmorProfileSpec = serde_json::from_value(spec).expect("it has the shape");
    apparmor::render("subject", &spec).ok()
}

/// Lines which are not comments.
fn rules(text: &str) -> Vec<&str> {
    let lines = text.split('\n').map(str::trim);
    let is_rule = |line: &&str| !line.is_empty() && !line.starts_with("# ");
    lines.filter(is_rule).collect()
}

fuzz_target!(|value: &str| {
    let access = json!(["Read"]);
    let empty = text(&json!({})).expect("an empty profile is in order");
    let before = rules(&empty);
    for fields in [
        json!({"executable": {"allowedExecutables": [value]}}),
        json!({"executable": {"transitions": [{"path": value, "profile": "a"}]}}),
        json!({"executable": {"transitions": [{"path": "/a", "profile": value}]}}),
        json!({"filesystem": {"readOnlyPaths": [value]}}),
        json!({"filesystem": {"readWritePaths": [value]}}),
        json!({"filesystem": {"allowedPaths": [{"path": value, "access": access}]}}),
        json!({"capability": {"allowedCapabilities": ["chown", value]}}),
        json!({"mount": {"allowedMounts": [{"fsTypes": [value]}]}}),
        json!({"mount": {"allowedMounts": [{"options": [value]}]}}),
        json!({"mount": {"allowedMounts": [{"source": value}]}}),
        json!({"mount": {"allowedUnmounts": [value]}}),
        json!({"signal": {"allowedSignals": [{"access": ["Send"], "signals": [value]}]}}),
        json!({"signal": {"allowedSignals": [{"access": ["Send"], "peer": value}]}}),
        json!({"unix": {"allowedSockets": [{"access": ["Send"], "address": value}]}}),
    ] {
        let Some(text) = text(&fields) else {
            continue;
        };
        assert!(apparmor::is_ours(&text));
        let with = rules(&text);
        // Two fields come with a rule of their own, and sys_rawio with the work-around.
        let most = if text.contains("sys_rawio") { 7 } else { 2 };
        let more = with.len() - before.len();
        assert!((1..=most).contains(&more), "{text}");
        for line in with.iter().filter(|line| !before.contains(line)) {
            assert!(line.ends_with(','), "{text}");
            assert_eq!(line.matches('"').count() % 2, 0, "{text}");
            assert!(!line.contains("#include"), "{text}");
            assert!(!line.chars().any(char::is_control), "{text}");
        }
    }
});
