//! Foreign texts as AppArmor policies: what is let through keeps its lines, begins one profile
//! outside of all blocks, in our mode, and includes files of AppArmor only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spo_api::apparmor_profile::AppArmorProfileSpec;
use spo_profile::apparmor;

fuzz_target!(|policy: &str| {
    // Most texts would miss the header.
    for policy in [
        policy.to_owned(),
        format!("profile subject {{\n{policy}\n}}\n"),
    ] {
        let spec = AppArmorProfileSpec {
            policy: Some(policy.clone()),
            ..AppArmorProfileSpec::default()
        };
        let Ok(text) = apparmor::render("subject", &spec) else {
            continue;
        };
        assert!(apparmor::is_ours(&text));
        assert_eq!(text.lines().count(), policy.lines().count() + 2, "{text}");
        let lines = || text.lines().map(str::trim_start);
        let headers = lines().filter(|line| line.starts_with("profile subject flags=(enforce"));
        assert!(headers.count() >= 1, "{text}");
        for line in lines() {
            let include = line.strip_prefix("#include").or(line.strip_prefix("include "));
            let path = include.map(|rest| rest.trim_start().trim_start_matches("if exists"));
            let is_shipped = path.is_none_or(|path| {
                let path = path.trim_start();
                path.starts_with("<abstractions/") || path.starts_with("<tunables/")
            });
            assert!(is_shipped, "{text}");
            for mode in ["complain", "unconfined", "kill"] {
                assert!(!line.contains(&format!("flags=({mode}")) || line.contains('#'), "{text}");
            }
        }
    }
});
