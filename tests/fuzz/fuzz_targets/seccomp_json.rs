//! Foreign bytes as an OCI seccomp profile: what is taken can be written, and read back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spo_profile::seccomp::merge::unite;
use spo_profile::seccomp::parse::{Parsed, parse};
use spo_profile::seccomp::render::{is_rendered, render, syscalls_annotation};
use spo_profile::seccomp::validate::validate;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Parsed { spec, losses: _ }) = parse(bytes) else {
        return;
    };
    let rendered = render(&spec);
    assert!(is_rendered(&rendered));
    assert_eq!(
        parse(&rendered),
        Ok(Parsed {
            spec: spec.clone(),
            losses: vec![]
        })
    );
    let _ = validate(&spec);
    let union = unite(&spec.syscalls, &spec.syscalls);
    assert_eq!(unite(&union, &union), union);
    let annotation = syscalls_annotation(&union);
    assert!(serde_json::from_str::<serde_json::Value>(&annotation).is_ok());
});
