//! AppArmor in the kernel.

mod compiled;
mod installed;
mod interrupted;
mod reach;

use spo_test_vm::container::Container;
use spo_test_vm::{apparmor, audit};

/// May do anything but write to `/etc/denied…`.
fn text(name: &str, flags: &str) -> String {
    format!(
        "profile {name} flags=(attach_disconnected,mediate_deleted{flags}) {{
           file, capability, network, signal, mount, umount, pivot_root, unix, ptrace,
           audit deny /etc/denied* w,
         }}"
    )
}

#[tokio::test]
async fn this_kernel_enforces_what_is_loaded_and_nothing_else() {
    let mark = audit::mark();
    apparmor::load(&text("machine", "")).expect_success();
    assert_eq!(apparmor::mode("machine").as_deref(), Some("enforce"));
    let denied = apparmor::confined("machine", "touch /etc/allowed && ! touch /etc/denied");
    assert!(denied.well(), "a process: {denied:?}");
    let record = [
        r#"apparmor="DENIED""#,
        r#"profile="machine""#,
        r#"name="/etc/denied""#,
    ];
    mark.record(&record).await;

    let script = "grep -q '^machine (enforce)' /proc/self/attr/current && ! touch /etc/denied-too";
    let denied = Container::script(script).apparmor("machine").run();
    assert!(denied.well(), "a container: {denied:?}");
    mark.record(&[r#"profile="machine""#, r#"name="/etc/denied-too""#])
        .await;

    apparmor::unload("machine").expect_success();
    assert_eq!(apparmor::mode("machine"), None);
    assert!(!apparmor::confined("machine", "true").well(), "it is gone");
}
