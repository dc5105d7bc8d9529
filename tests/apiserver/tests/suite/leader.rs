//! Two managers: one leads, and the other takes over.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use spo_test_apiserver::cluster::{LEASE, NAMESPACE};
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::eventually;

async fn leads(rig: &Rig, name: &str, within: Duration) -> Duration {
    let start = Instant::now();
    let leases: Api<Lease> = Api::namespaced(rig.client.clone(), NAMESPACE);
    eventually(within, &format!("{name} leads"), async || {
        let lease = leases.get(LEASE).await.map_err(|error| error.to_string())?;
        let holder = lease
            .spec
            .unwrap_or_default()
            .holder_identity
            .unwrap_or_default();
        if holder == name {
            Ok(())
        } else {
            Err(format!("{holder:?} does"))
        }
    })
    .await;
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_manager_takes_over_when_the_leader_crashes_and_when_it_ends() {
    let mut rig = Rig::with_nodes(1).await;
    rig.start_manager("manager-1").await;
    rig.create(&allowing("first", &["read"])).await;
    rig.ready("first").await;

    rig.take_manager("manager-0").kill();
    rig.create(&allowing("second", &["read"])).await;
    let took = leads(&rig, "manager-1", Duration::from_secs(30)).await;
    rig.until(
        Duration::from_secs(10),
        "second",
        "is ready",
        profile::is_ready,
    )
    .await;
    println!("the leader was killed: taken over after {took:.1?}");

    rig.start_manager("manager-2").await;
    // It has seen the lease, and waits.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(rig.take_manager("manager-1").terminate().await.success());
    rig.create(&allowing("third", &["read"])).await;
    let took = leads(&rig, "manager-2", Duration::from_secs(10)).await;
    rig.until(
        Duration::from_secs(10),
        "third",
        "is ready",
        profile::is_ready,
    )
    .await;
    println!("the leader was asked to end: taken over after {took:.1?}");
}
