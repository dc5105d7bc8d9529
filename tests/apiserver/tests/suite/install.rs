//! A profile comes to every node, and everybody is told.

use std::os::unix::fs::symlink;
use std::time::Duration;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use spo_api::meta;
use spo_api::node_status::ProfileState;
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};
use spo_test_apiserver::{audit, env, files, metrics, profile};

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_installed_on_every_node_and_its_status_says_so() {
    let rig = Rig::with_nodes(3).await;
    rig.quiet().await;
    let (before, mark) = (metrics::writes(&rig.client).await, audit::mark());
    rig.create(&profile::allowing("web", &["read", "write", "exit_group"]))
        .await;
    let web = rig.ready("web").await;

    let expected = profile::file(&rig.client, &web).await;
    rig.on_every_node("web", &expected).await;

    let status = web.status.clone().unwrap();
    let ready = profile::condition(&web, "Ready").unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("True", "Available")
    );
    assert_eq!(ready.message, "installed on 3 of 3 nodes");
    assert_eq!(
        status.localhost_profile.as_deref(),
        Some("operator/web.json")
    );
    assert_eq!(
        status.path.as_deref(),
        Some("/var/lib/kubelet/seccomp/operator/web.json")
    );
    assert_eq!(web.finalizers(), [meta::FINALIZER]);

    let statuses = rig.statuses_of("web").await;
    let mut nodes = Vec::new();
    for status in &statuses {
        let node = status.spec.node_name.as_str();
        nodes.push(node);
        for (label, value) in [
            (meta::LABEL_PROFILE_ID, "SeccompProfile-web"),
            (meta::LABEL_NODE_NAME, node),
            (meta::LABEL_PROFILE_STATE, "Installed"),
            (meta::LABEL_PROFILE_KIND, "SeccompProfile"),
        ] {
            assert_eq!(
                status.labels().get(label).map(String::as_str),
                Some(value),
                "{label}"
            );
        }
        let [owner] = status.owner_references() else {
            panic!("one owner")
        };
        assert_eq!(
            (owner.kind.as_str(), owner.name.as_str()),
            ("SeccompProfile", "web")
        );
        assert_eq!(
            (Some(&owner.uid), owner.controller),
            (web.metadata.uid.as_ref(), Some(true))
        );
        let said = status.status.clone().unwrap();
        assert_eq!(said.status, Some(ProfileState::Installed));
        assert_eq!(said.observed_generation, web.metadata.generation);
        assert_eq!((said.reason, said.message), (None, None));
    }
    nodes.sort_unstable();
    assert_eq!(nodes, ["node-1", "node-2", "node-3"]);

    for node in rig.nodes() {
        let text = node.metrics().await;
        let updates = "security_profiles_operator_seccomp_profile_total";
        assert_eq!(
            metrics::sum(&text, updates, &[("operation", "update")]),
            1.0
        );
        assert_eq!(
            metrics::sum(&text, "security_profiles_operator_seccomp_profiles", &[]),
            1.0
        );
    }

    let waited = env::kubectl(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=5s",
        "seccompprofile/web",
    ]);
    assert_eq!(
        waited.unwrap(),
        "seccompprofile.security-profiles-operator.x-k8s.io/web condition met\n"
    );
    let told = rig.event("SavedSeccompProfile", "web").await;
    assert!(told.contains("node-1, node-2, node-3"), "{told}");

    let writes = mark.settled(Duration::from_secs(1)).await;
    println!(
        "one profile on three nodes: {} writes{}",
        writes.len(),
        audit::list(&writes)
    );
    assert!(writes.len() <= 8, "{}", audit::list(&writes));
    let counted = metrics::writes(&rig.client).await - before;
    assert!(
        counted <= 8.0,
        "{counted} writes by the metrics of the API server"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn node_statuses_that_somebody_deletes_or_changes_come_back() {
    let rig = Rig::with_nodes(2).await;
    rig.create(&profile::allowing("web", &["read"])).await;
    rig.ready("web").await;
    let all = ListParams::default();
    rig.statuses()
        .delete_collection(&DeleteParams::default(), &all)
        .await
        .unwrap();
    eventually(
        SOON,
        "the reports about the profile and the nodes are back",
        async || {
            let found = rig.statuses().list(&all).await.unwrap().items.len();
            if found == 4 {
                Ok(())
            } else {
                Err(format!("{found} of 4"))
            }
        },
    )
    .await;
    rig.until(SOON, "web", "is on two nodes", |found| {
        profile::is_ready(found) && profile::message(found) == "installed on 2 of 2 nodes"
    })
    .await;

    let name = rig.statuses_of("web").await[0].name_any();
    let patch = Patch::Merge(json!({ "status": { "status": "Error", "message": "a lie" } }));
    rig.statuses()
        .patch_status(&name, &PatchParams::default(), &patch)
        .await
        .unwrap();
    eventually(SOON, "a false report is corrected", async || {
        let status = rig.statuses().get(&name).await.unwrap().status.unwrap();
        let right = status.status == Some(ProfileState::Installed) && status.message.is_none();
        if right {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    rig.ready("web").await;
}

/// As setup leaves it on a node: the files outlive the kubelet's directory.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_directory_may_be_a_link() {
    let mut rig = Rig::empty().await;
    rig.start_manager("manager-0").await;
    rig.make_node("node-1").await;
    let root = rig.node("node-1").root.clone();
    let target = root.join("var/lib/security-profiles-operator");
    std::fs::create_dir_all(&target).unwrap();
    std::fs::create_dir_all(root.join("var/lib/kubelet/seccomp")).unwrap();
    let link = root.join("var/lib/kubelet/seccomp/operator");
    symlink("/var/lib/security-profiles-operator", &link).unwrap();
    rig.start_daemon("node-1");
    rig.create(&profile::allowing("web", &["read"])).await;
    let web = rig.ready("web").await;
    let bytes = profile::file(&rig.client, &web).await;
    assert_eq!(files::check(&target.join("web.json"), &bytes), Ok(()));
    assert!(link.is_symlink());
    std::fs::remove_file(target.join("web.json")).unwrap();
    eventually(SOON, "a file behind a link is restored", async || {
        files::check(&target.join("web.json"), &bytes)
    })
    .await;
    rig.delete("web").await;
    rig.gone("web").await;
    assert_eq!(files::names(&target), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_cluster_makes_no_requests() {
    let rig = Rig::with_nodes(2).await;
    rig.create(&profile::allowing("web", &["read"])).await;
    rig.create(&profile::extending("broken", "absent", &["read"]))
        .await;
    rig.ready("web").await;
    rig.state("broken", ProfileState::Error, &["absent"]).await;
    rig.quiet().await;
    let before = requests(&rig.client).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let made = requests(&rig.client).await - before;
    assert_eq!(
        made, 0.0,
        "requests about our kinds in 3 s in which nothing happened"
    );
}

/// Requests about our kinds but for watches, which end and start over by themselves.
async fn requests(client: &Client) -> f64 {
    let text = metrics::of_api_server(client).await;
    let count = |labels: &[_]| metrics::sum(&text, "apiserver_request_total", labels);
    let ours = ("group", spo_api::GROUP);
    count(&[ours]) - count(&[ours, ("verb", "WATCH")])
}
