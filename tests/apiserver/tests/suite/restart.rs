//! What starts again and finds everything as it should be writes nothing.

use std::time::Duration;

use spo_test_apiserver::profile::{allowing, extending};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::{audit, files};

const QUIET: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn restarts_write_nothing_where_nothing_has_changed() {
    let mut rig = Rig::with_nodes(2).await;
    rig.create(&allowing("root", &["read"])).await;
    rig.create(&extending("leaf", "root", &["write"])).await;
    rig.create(&allowing("odd", &["no_such_call"])).await;
    rig.create(&extending("broken", "absent", &["read"])).await;
    for name in ["root", "leaf", "odd"] {
        rig.ready(name).await;
    }
    rig.state(
        "broken",
        spo_api::node_status::ProfileState::Error,
        &["absent"],
    )
    .await;
    rig.quiet().await;

    let stamps = |rig: &Rig| -> Vec<_> {
        let files = rig
            .nodes()
            .flat_map(|node| ["root", "leaf", "odd"].map(|name| node.file(name)));
        files.map(|file| files::stamp(&file)).collect()
    };
    let before = stamps(&rig);
    assert!(before.iter().all(Option::is_some), "{before:?}");
    let mark = audit::mark();

    assert!(rig.terminate_daemon("node-1").await.success());
    rig.kill_daemon("node-2");
    for node in ["node-1", "node-2"] {
        rig.start_daemon(node);
        rig.daemon_is_ready(node).await;
    }
    let writes = mark.settled(QUIET).await;
    assert!(
        writes.is_empty(),
        "daemons that start again write{}",
        audit::list(&writes)
    );
    assert_eq!(stamps(&rig), before, "daemons that start again write files");

    let mark = audit::mark();
    assert!(rig.take_manager("manager-0").terminate().await.success());
    rig.start_manager("manager-1").await;
    assert_eq!(rig.leader().await, "manager-1");
    // Long enough for a manager that waits for nodes before it says something.
    let writes = mark.settled(QUIET * 3).await;
    let writes: Vec<_> = writes
        .into_iter()
        // The harness makes tokens, and points a Service at the new manager.
        .filter(|write| write.user != "admin")
        .collect();
    assert!(
        writes.is_empty(),
        "a manager that starts again writes{}",
        audit::list(&writes)
    );
}
