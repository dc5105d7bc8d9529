//! SELinux in the kernel.

mod offered;

use spo_test_vm::container::Container;
use spo_test_vm::{audit, selinux};

/// A type for containers which may execute what is in them, and read it.
const CIL: &str = "
(block machine
  (type process)
  (roletype system_r process)
)
(typeattributeset domain (machine.process))
(typeattributeset container_domain (machine.process))
(allow machine.process container_file_t (file (execute execute_no_trans read open getattr map entrypoint)))
(allow machine.process container_file_t (dir (search getattr read open)))
(allow machine.process container_file_t (lnk_file (read getattr)))
";

#[tokio::test]
async fn this_kernel_enforces_a_module_of_the_policy() {
    assert!(selinux::is_enforcing());
    selinux::install(&[("machine", CIL)]).expect_success();
    assert!(selinux::modules().contains("machine"));

    let mark = audit::mark();
    let script = "grep -q :machine.process: /proc/self/attr/current && cat /open && ! cat /secret";
    let denied = Container::script(script)
        .selinux("machine.process")
        .file("open", "container_file_t")
        .file("secret", "shadow_t")
        .run();
    assert!(denied.well(), "a container: {denied:?}");
    let record = [
        "type=AVC",
        "denied  { read }",
        r#"name="secret""#,
        "scontext=system_u:system_r:machine.process:s0:c1,c2",
        "permissive=0",
    ];
    mark.record(&record).await;

    selinux::remove(&["machine"]).expect_success();
    assert!(!selinux::modules().contains("machine"));
}
