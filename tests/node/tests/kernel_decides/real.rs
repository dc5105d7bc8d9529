//! Real system calls: the interpreter is right, and so are the warnings about libseccomp.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use spo_api::seccomp_profile::{Action, SeccompProfileSpec};
use spo_profile::seccomp::{decide, render, validate};

use crate::filter::{Compiled, compile_within, program, verdict};
use crate::spec;
use crate::table::rule;

fn rules(default: Action, texts: &[&str]) -> SeccompProfileSpec {
    spec(default, texts.iter().map(|text| rule(text)).collect())
}

/// Whether the kernel lets a process under the profile call getpriority(2).
fn is_denied(spec: &SeccompProfileSpec, which: u64, who: u64) -> bool {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&render::render(spec)).unwrap();
    let mut exec = Command::new(env!("CARGO_BIN_EXE_seccomp-exec"));
    exec.arg(file.path()).arg("--");
    exec.arg(env!("CARGO_BIN_EXE_getpriority"));
    exec.args([which.to_string(), who.to_string()]);
    let output = exec.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // The call itself may answer 3, ESRCH, but never 1, EPERM.
    output.stdout == b"errno 1\n"
}

#[test]
fn the_kernel_does_what_the_program_says() {
    for texts in [
        &["ERRNO a0 == 1"][..],
        &["ERRNO a0 >= 1, a1 & 2"],
        &["ERRNO a0 != 1", "ERRNO a1 == 3"],
        &["ERRNO a0 <= 1, a1 > 2"],
        &["ERRNO a0 == 1, a1 == 2", "ERRNO a0 == 0, a1 == 3"],
        // This one is misread.
        &["ERRNO a0 >= 2", "ERRNO a0 < 1, a1 > 2"],
    ] {
        let spec = rules(Action::Allow, texts);
        let program = program(&spec);
        for (which, who) in (0..3).flat_map(|which| (0..4).map(move |who| (which, who))) {
            let says = verdict(&program, [which, who, 0, 0, 0, 0]);
            let denied = is_denied(&spec, which, who);
            assert_eq!(denied, says == Action::Errno, "{which} {who} {texts:?}");
        }
    }
}

/// libseccomp 2.5.4 and 2.6.1 compare the wrong argument: after `a1 > 2` it goes on to `a0 >= 2`
/// and does not load a0 again.
#[test]
fn libseccomp_is_wider_than_written() {
    let spec = rules(Action::Errno, &["ALLOW a0 >= 2", "ALLOW a0 < 1, a1 > 2"]);
    assert!(!validate::validate(&spec).is_empty());
    let args = [0, 2, 0, 0, 0, 0];
    let decided = decide::decide(&spec, "getpriority", args);
    let does = verdict(&program(&spec), args);
    assert_eq!((decided, does), (Action::Errno, Action::Allow));
}

/// libseccomp 2.5.4 and 2.6.1 hang a new subtree below both branches of `a0 >= 1`, which is one
/// list, and then walk that list in a circle (src/db.c, _db_level_clean).
#[test]
fn libseccomp_does_not_return() {
    let texts = ["ALLOW a0 >= 1, a1 != 1", "ALLOW a0 >= 1, a1 & 4294967296"];
    let spec = rules(Action::Errno, &texts);
    assert!(!validate::validate(&spec).is_empty());
    let compiled = compile_within(Duration::from_secs(3), &spec);
    assert!(matches!(compiled, Compiled::Hangs), "{compiled:?}");
}
