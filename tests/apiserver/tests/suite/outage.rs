//! The API server is away for a while.

use std::time::{Duration, Instant};

use spo_test_apiserver::cluster::{LEASE, NAMESPACE, through_proxy};
use spo_test_apiserver::files;
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::eventually;

/// Pauses grow while the API server is away.
const CAUGHT_UP: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_cut_off_guards_its_files_and_catches_up() {
    let mut rig = Rig::empty().await;
    rig.start_manager("manager-0").await;
    rig.make_node("node-1").await;
    let proxy = through_proxy(&rig.node("node-1").kubeconfig).await;
    rig.start_daemon("node-1");
    rig.daemon_is_ready("node-1").await;
    for name in ["changes", "goes", "stays"] {
        rig.create(&allowing(name, &["read"])).await;
    }
    let stays = rig.ready("stays").await;
    rig.ready("changes").await;
    rig.ready("goes").await;
    let bytes = profile::file(&rig.client, &stays).await;
    let stamp = files::stamp(&rig.node("node-1").file("stays"));

    proxy.cut();
    let file = rig.node("node-1").file("goes");
    std::fs::remove_file(&file).unwrap();
    eventually(
        Duration::from_secs(5),
        "a file is restored without the API server",
        async || files::check(&file, &bytes),
    )
    .await;
    rig.allow("changes", &["read", "write"]).await;
    rig.delete("goes").await;
    rig.create(&allowing("comes", &["read"])).await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    proxy.mend();
    let start = Instant::now();
    for name in ["changes", "comes", "stays"] {
        let found = rig
            .until(CAUGHT_UP, name, "is ready", profile::is_ready)
            .await;
        rig.on_every_node(name, &profile::file(&rig.client, &found).await)
            .await;
    }
    rig.gone("goes").await;
    println!("cut off for 3 s: caught up after {:.1?}", start.elapsed());
    assert_eq!(files::stamp(&rig.node("node-1").file("stays")), stamp);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_cut_off_stops_before_another_one_leads() {
    let mut rig = Rig::empty().await;
    let kubeconfig = rig.manager_kubeconfig("manager-0").await;
    let proxy = through_proxy(&kubeconfig).await;
    rig.start_manager_with("manager-0", &kubeconfig).await;
    assert_eq!(rig.leader().await, "manager-0");
    rig.start_manager("manager-1").await;
    rig.make_node("node-1").await;
    rig.start_daemon("node-1");
    rig.daemon_is_ready("node-1").await;

    proxy.cut();
    rig.create(&allowing("web", &["read"])).await;
    let start = Instant::now();
    let leases: kube::Api<k8s_openapi::api::coordination::v1::Lease> =
        kube::Api::namespaced(rig.client.clone(), NAMESPACE);
    eventually(Duration::from_secs(40), "manager-1 leads", async || {
        let holder = leases
            .get(LEASE)
            .await
            .unwrap()
            .spec
            .unwrap()
            .holder_identity;
        if holder.as_deref() == Some("manager-1") {
            Ok(())
        } else {
            Err(format!("{holder:?}"))
        }
    })
    .await;
    let log = rig.manager("manager-0").log();
    assert!(
        log.contains("not the leader any more"),
        "two managers lead: {log}"
    );
    rig.ready("web").await;
    println!(
        "the leader was cut off: taken over after {:.1?}",
        start.elapsed()
    );
    // It goes on, as one that waits, and leads again when it is its turn.
    proxy.mend();
    assert!(rig.take_manager("manager-1").terminate().await.success());
    eventually(Duration::from_secs(40), "manager-0 leads", async || {
        let lease = leases.get(LEASE).await.unwrap().spec.unwrap();
        match lease.holder_identity.as_deref() {
            Some("manager-0") => Ok(()),
            holder => Err(format!("{holder:?}")),
        }
    })
    .await;
    rig.create(&allowing("later", &["read"])).await;
    rig.ready("later").await;
    assert!(rig.manager("manager-0").ended().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_guarded_while_the_api_server_does_not_answer() {
    let mut rig = Rig::empty().await;
    rig.start_manager("manager-0").await;
    rig.make_node("node-1").await;
    let proxy = through_proxy(&rig.node("node-1").kubeconfig).await;
    rig.start_daemon("node-1");
    rig.daemon_is_ready("node-1").await;
    let names: Vec<String> = (0..10).map(|number| format!("web-{number}")).collect();
    let mut bytes = Vec::new();
    for name in &names {
        rig.create(&allowing(name, &["read"])).await;
        let found = rig.ready(name).await;
        bytes = profile::file(&rig.client, &found).await;
    }

    proxy.block();
    let start = Instant::now();
    for name in &names {
        // Each of them wants to publish an event, and can not.
        std::fs::remove_file(rig.node("node-1").file(name)).unwrap();
    }
    eventually(
        Duration::from_secs(5),
        "files are restored without an answer of the API server",
        async || {
            let node = rig.nodes().next().unwrap();
            names
                .iter()
                .try_for_each(|name| files::check(&node.file(name), &bytes))
        },
    )
    .await;
    println!(
        "the API server is silent: {} files restored after {:.1?}",
        names.len(),
        start.elapsed()
    );

    proxy.mend();
    for name in &names {
        rig.allow(name, &["read", "write"]).await;
    }
    let start = Instant::now();
    for name in &names {
        rig.until(CAUGHT_UP, name, "is ready", profile::is_ready)
            .await;
    }
    println!("caught up after {:.1?}", start.elapsed());
}
