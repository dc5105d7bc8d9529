//! What is rendered, compiled by the real parser and taken by the real kernel.

use std::path::PathBuf;
use std::time::Duration;

use spo_host::apparmor::Mode;
use spo_host::apparmor::kernel::{DIR, Kernel, Removed};
use spo_host::apparmor::parser::{Limits, Parser};
use spo_test_vm::apparmor;
use spo_test_vm::container::Container;
use spo_test_vm::rig::examples;

/// Of this machine. Emulated, the parser takes longer than the daemon would give it.
fn parser() -> Parser {
    let limits = Limits {
        time: Duration::from_secs(60),
        ..Limits::default()
    };
    let program = Parser::find(None).unwrap();
    Parser::new(program, vec![PathBuf::from("/etc/apparmor.d")], limits)
}

#[tokio::test]
async fn every_golden_text_is_taken_by_the_kernel() {
    let (parser, kernel) = (parser(), Kernel::at(DIR));
    for (file, text) in examples("apparmor", ".apparmor") {
        let names = parser.names(&text).await.unwrap();
        let binary = parser.compile(&text).await.unwrap();
        kernel.replace(&binary).unwrap();
        let name = &names[0];
        let loaded = kernel.loaded(name).unwrap();
        let loaded = loaded.unwrap_or_else(|| panic!("{file}: there is no {name}"));
        let expected = if text.contains("flags=(complain") {
            Mode::Complain
        } else {
            Mode::Enforce
        };
        assert_eq!(loaded.mode, expected, "{file}");
        let seen = apparmor::mode(name);
        assert_eq!(seen, Some(expected.to_string()), "{file}");
        // So that what was changed behind our back can be told.
        kernel.replace(&binary).unwrap();
        assert_eq!(kernel.loaded(name).unwrap(), Some(loaded), "{file}");
        assert_eq!(kernel.remove(name).unwrap(), Removed::Yes, "{file}");
        assert_eq!(kernel.remove(name).unwrap(), Removed::WasAbsent, "{file}");
        assert_eq!(apparmor::mode(name), None, "{file}");
    }
}

#[tokio::test]
async fn the_upstream_example_for_runc_confines_a_container_of_runc() {
    let (parser, kernel) = (parser(), Kernel::at(DIR));
    let (_, text) = examples("apparmor", "sleep-runc.apparmor").remove(0);
    let name = "test-recording-test-pod";
    kernel
        .replace(&parser.compile(&text).await.unwrap())
        .unwrap();
    let script = "sleep 0; ! cat /etc/passwd && ! touch /tmp/new";
    let ended = Container::script(script).apparmor(name).run();
    assert!(ended.well(), "{ended:?}");

    let before = kernel.loaded(name).unwrap().unwrap();
    apparmor::load(&text.replace("/bin/busybox ixr", "/** rwix")).expect_success();
    let after = kernel.loaded(name).unwrap().unwrap();
    assert_ne!(
        before.digest, after.digest,
        "a change behind our back shows"
    );
    kernel.remove(name).unwrap();
}

#[tokio::test]
async fn changes_of_the_policy_wake_who_waits_for_them() {
    let kernel = Kernel::at(DIR);
    let mut changes = kernel.changes().unwrap();
    let text = "profile waited-for { }";
    for change in ["load", "replace", "remove"] {
        if change == "remove" {
            apparmor::unload("waited-for").expect_success();
        } else {
            apparmor::load(text).expect_success();
        }
        let woken = tokio::time::timeout(Duration::from_secs(10), changes.next()).await;
        woken
            .unwrap_or_else(|_| panic!("nobody was told of: {change}"))
            .unwrap();
    }
    let quiet = tokio::time::timeout(Duration::from_secs(1), changes.next()).await;
    assert!(quiet.is_err(), "nothing has changed");
}
