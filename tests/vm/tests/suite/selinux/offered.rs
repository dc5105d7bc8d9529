//! What a node with SELinux says of itself.

use spo_test_vm::rig::Rig;

#[tokio::test]
async fn this_node_tells_what_it_has() {
    let rig = Rig::start_with_selinuxd().await;
    let selinux = rig.mechanism("SELinux").await;
    assert_eq!(selinux["available"], true, "{selinux}");
}
