//! Base profiles: a change of one reaches whatever extends it, and what can not be resolved says so.

use kube::ResourceExt as _;
use serde_json::json;
use spo_api::meta;
use spo_api::node_status::ProfileState;
use spo_profile::seccomp::render;
use spo_test_apiserver::profile::{self, allowing, extending};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};

/// Waits until every profile of the chain is on every node as it should be, and is ready.
async fn holds_together(rig: &Rig, names: &[&str]) {
    for name in names {
        let object = rig.ready(name).await;
        rig.on_every_node(name, &profile::file(&rig.client, &object).await)
            .await;
        if object.spec.base_profile_name.is_some() {
            let resolved = profile::resolve(&rig.client, &object).await;
            let expected = render::syscalls_annotation(&resolved.spec.syscalls);
            eventually(SOON, &format!("the annotation of {name}"), async || {
                let object = rig.get(name).await;
                let found = object.annotations().get(meta::ANNOTATION_SYSCALLS);
                if found == Some(&expected) {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                }
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_base_profile_reaches_every_profile_that_extends_it() {
    let rig = Rig::with_nodes(2).await;
    let names = ["root", "middle", "leaf"];
    rig.create(&allowing("root", &["read"])).await;
    rig.create(&extending("middle", "root", &["write"])).await;
    rig.create(&extending("leaf", "middle", &["openat"])).await;
    holds_together(&rig, &names).await;
    let leaf = rig.nodes().next().unwrap().file("leaf");
    let text = std::fs::read_to_string(&leaf).unwrap();
    for syscall in ["\"read\"", "\"write\"", "\"openat\""] {
        assert!(text.contains(syscall), "{text}");
    }
    let generations = |rig: &Rig| {
        let api = rig.profiles();
        async move {
            let mut found = Vec::new();
            for name in ["middle", "leaf"] {
                found.push(api.get(name).await.unwrap().metadata.generation);
            }
            found
        }
    };
    let before = generations(&rig).await;

    rig.allow("root", &["read", "statx"]).await;
    holds_together(&rig, &names).await;
    assert!(
        std::fs::read_to_string(&leaf)
            .unwrap()
            .contains("\"statx\"")
    );
    assert_eq!(
        generations(&rig).await,
        before,
        "what extends a base is not written to"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_of_base_profiles_is_refused_and_named() {
    let rig = Rig::with_nodes(1).await;
    rig.create(&extending("hen", "egg", &["read"])).await;
    rig.create(&extending("egg", "hen", &["write"])).await;
    for name in ["hen", "egg"] {
        rig.state(
            name,
            ProfileState::Error,
            &["hen", "egg", "baseProfileName"],
        )
        .await;
    }
    rig.on_no_node("hen").await;
    rig.on_no_node("egg").await;

    rig.patch("egg", json!({ "spec": { "baseProfileName": null } }))
        .await;
    holds_together(&rig, &["egg", "hen"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_base_profile_is_named_and_its_creation_heals() {
    let rig = Rig::with_nodes(2).await;
    rig.create(&extending("child", "absent", &["read"])).await;
    let texts = [
        "spec.baseProfileName",
        "absent",
        "does not exist",
        "create it",
        "InvalidSeccompProfile",
    ];
    rig.state("child", ProfileState::Error, &texts).await;
    rig.event("InvalidSeccompProfile", "child").await;
    rig.on_no_node("child").await;

    rig.create(&allowing("absent", &["write"])).await;
    holds_together(&rig, &["absent", "child"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_stays_when_the_base_profile_goes() {
    let rig = Rig::with_nodes(1).await;
    rig.create(&allowing("root", &["read"])).await;
    rig.create(&extending("leaf", "root", &["write"])).await;
    let leaf = rig.ready("leaf").await;
    let expected = profile::file(&rig.client, &leaf).await;
    rig.delete("root").await;
    rig.state("leaf", ProfileState::Error, &["root", "does not exist"])
        .await;
    rig.gone("root").await;
    rig.on_every_node("leaf", &expected).await;
}
