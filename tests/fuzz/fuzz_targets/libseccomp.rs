//! What `decide` says against what libseccomp makes of a profile: the same, unless `validate` has
//! found a problem.
//!
//! libseccomp 2.5.4 leaks memory in some of its rules, so run it with `-- -detect_leaks=0`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spo_fuzz::filter;
use spo_fuzz::profile::{Lists, NAME, probes, spec};
use spo_profile::seccomp::decide::decide;
use spo_profile::seccomp::merge::unite_under;
use spo_profile::seccomp::validate::validate;

fuzz_target!(|lists: Lists| {
    let Lists {
        default,
        left,
        right,
    } = lists;
    let union = unite_under(default, &left, &right);
    let probes = probes(&[&left, &right]);
    for syscalls in [left, right, union] {
        let spec = spec(default, syscalls);
        if !validate(&spec).is_empty() {
            continue;
        }
        let filter = filter::build(&spec).unwrap_or_else(|error| panic!("{error}: {spec:?}"));
        for args in &probes {
            let decided = decide(&spec, NAME, *args);
            assert_eq!(filter.decide(NAME, args), decided, "{args:?} {spec:?}");
        }
    }
});
