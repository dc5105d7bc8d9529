//! Profiles of every kind in the manager: summed up over the nodes that offer the mechanism, used by
//! pods, inherited, deleted. What the nodes say is written by the tests.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spo_api::GROUP;
use spo_api::spod::SecurityProfilesOperatorDaemon;
use spo_test_apiserver::cluster::{self, NAMESPACE};
use spo_test_apiserver::played::{PlayedNode, Profiles, condition};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, always, eventually};
use spo_test_apiserver::{audit, profile};

const AVAILABLE: (&str, &str) = ("True", "Available");
const NOT_OFFERED: (&str, &str) = ("False", "NotOffered");
const DISABLED: &str = "SELinux is disabled in the kernel";

fn selinux(rig: &Rig) -> Profiles {
    Profiles::new(&rig.client, "SelinuxProfile", "selinuxprofiles")
}

fn raw(rig: &Rig) -> Profiles {
    Profiles::new(&rig.client, "RawSelinuxProfile", "rawselinuxprofiles")
}

fn apparmor(rig: &Rig) -> Profiles {
    Profiles::new(&rig.client, "AppArmorProfile", "apparmorprofiles")
}

/// Each kind but seccomp, with a spec.
fn kinds(rig: &Rig) -> [(Profiles, Value); 3] {
    let policy = "(allow process process (tcp_socket (listen)))";
    [
        (selinux(rig), json!({})),
        (raw(rig), json!({ "policy": policy })),
        (apparmor(rig), json!({})),
    ]
}

fn node<'a>(rig: &'a Rig, name: &'a str) -> PlayedNode<'a> {
    PlayedNode {
        client: &rig.client,
        name,
    }
}

/// A manager, and nodes of which nobody has said anything.
async fn rig(nodes: &[&str]) -> Rig {
    let mut rig = Rig::empty().await;
    rig.start_manager("manager-0").await;
    for name in nodes {
        rig.make_node(name).await;
    }
    rig.leader().await;
    rig
}

/// The same; all nodes offer everything.
async fn rig_with_all(nodes: &[&str]) -> Rig {
    let rig = rig(nodes).await;
    for name in nodes {
        offers_all(&rig, name).await;
    }
    rig
}

async fn offers_all(rig: &Rig, name: &str) {
    let all = [("Seccomp", None), ("SELinux", None), ("AppArmor", None)];
    node(rig, name).offers(&all).await;
}

/// A pod with this in the security context of its container, and these annotations.
async fn make_pod(rig: &Rig, name: &str, context: Value, annotations: Value) {
    let pod = json!({
        "metadata": {
            "name": name, "labels": { "spo.test/rig": "true" }, "annotations": annotations,
        },
        "spec": {
            "nodeName": "node-1",
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "app", "image": "nginx", "securityContext": context }],
        },
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    rig.pods()
        .create(&PostParams::default(), &pod)
        .await
        .unwrap();
}

/// Writes fields of the operator's configuration, instead of those that were written before.
async fn configure(rig: &Rig, spec: Value) {
    let spods: Api<SecurityProfilesOperatorDaemon> = Api::namespaced(rig.client.clone(), NAMESPACE);
    let spod = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "SecurityProfilesOperatorDaemon",
        "metadata": { "name": "spod" },
        "spec": spec,
    });
    let params = PatchParams::apply("test").force();
    spods
        .patch("spod", &params, &Patch::Apply(spod))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_summed_up_over_the_nodes_that_offer_it() {
    let rig = rig(&["node-1", "node-2", "node-3", "node-4"]).await;
    for name in ["node-1", "node-2"] {
        offers_all(&rig, name).await;
    }
    let lacks = [
        ("Seccomp", None),
        ("SELinux", Some(DISABLED)),
        ("AppArmor", Some("the kernel lacks it")),
    ];
    node(&rig, "node-3").offers(&lacks).await;
    // The daemon of an older release.
    node(&rig, "node-4").offers(&[("Seccomp", None)]).await;
    for (profiles, spec) in kinds(&rig) {
        let kind = profiles.kind();
        let (mechanism, why, usage, saved) = match kind {
            "AppArmorProfile" => (
                "AppArmor",
                "the kernel lacks it",
                Value::Null,
                "LoadedAppArmorProfile",
            ),
            _ => (
                "SELinux",
                DISABLED,
                json!("web.process"),
                "SavedSelinuxPolicy",
            ),
        };
        profiles.create("web", spec).await;
        profiles
            .says(
                "web",
                "Ready",
                ("False", "Creating"),
                &["waiting for node-1, node-2"],
            )
            .await;
        node(&rig, "node-1").installs(&profiles, "web").await;
        node(&rig, "node-2").installs(&profiles, "web").await;
        let lacking = format!("2 nodes do not offer {mechanism}: node-");
        let reason = format!("node-3 ({why})");
        let texts = ["installed on 2 of 2 nodes; ", &lacking, &reason];
        let found = profiles.says("web", "Ready", AVAILABLE, &texts).await;
        assert_eq!(found.data["status"]["status"], "Installed", "{kind}");
        assert_eq!(found.data["status"]["usage"], usage, "{kind}");
        assert_eq!(found.finalizers(), ["spo.x-k8s.io/installed"], "{kind}");
        assert_eq!(
            found.labels()["spo.x-k8s.io/profile-id"],
            format!("{kind}-web")
        );
        let told = eventually(SOON, &format!("the event of {kind}"), async || {
            let events = rig.events(saved, "web").await;
            let told = events
                .into_iter()
                .find(|event| event.involved_object.kind.as_deref() == Some(kind));
            told.ok_or("there is none".to_owned())
        })
        .await;
        assert!(told.message.unwrap().ends_with("node-1, node-2"), "{kind}");

        let error = json!({
            "status": "Error", "reason": "CannotSave", "message": "syntax error in line 3",
        });
        node(&rig, "node-2")
            .reports_state(&profiles, "web", error)
            .await;
        let complaint = "on node-2: CannotSave: syntax error in line 3";
        let found = profiles
            .says(
                "web",
                "Ready",
                ("False", "Unavailable"),
                &[complaint, &reason],
            )
            .await;
        assert_eq!(found.data["status"]["status"], "Error", "{kind}");
    }

    // A node that goes takes the problem along.
    let nodes: Api<Node> = Api::all(rig.client.clone());
    nodes
        .delete("node-2", &DeleteParams::default())
        .await
        .unwrap();
    for (profiles, _) in kinds(&rig) {
        profiles
            .says(
                "web",
                "Ready",
                AVAILABLE,
                &["installed on 1 of 1 nodes; 2 nodes do not"],
            )
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mechanism_that_no_node_offers_is_named_with_the_fix_until_one_does() {
    let rig = rig(&["node-1", "node-2"]).await;
    let lacks = |name| (name, Some("not in this kernel"));
    node(&rig, "node-1")
        .offers(&[("Seccomp", None), lacks("SELinux"), lacks("AppArmor")])
        .await;
    node(&rig, "node-2").offers(&[("Seccomp", None)]).await;
    for (profiles, spec) in kinds(&rig) {
        profiles.create("web", spec.clone()).await;
        let (offers, fix) = match profiles.kind() {
            "AppArmorProfile" => ("no node offers AppArmor: ", "spec.enableAppArmor"),
            _ => ("no node offers SELinux: ", "spec.selinux.enable"),
        };
        let why = "node-1 (not in this kernel)";
        let found = profiles
            .says("web", "Ready", NOT_OFFERED, &[offers, why, fix])
            .await;
        assert_eq!(found.data["status"]["status"], "Pending");
        let mut disabled = spec;
        disabled["state"] = json!("Disabled");
        profiles.create("off", disabled).await;
        let found = profiles
            .says("off", "Ready", NOT_OFFERED, &[offers, why])
            .await;
        assert_eq!(found.data["status"]["status"], "Disabled");
    }
    let told = rig.event("AppArmorNotSupportedOnNode", "web").await;
    assert!(told.contains("spec.enableAppArmor"), "{told}");

    configure(
        &rig,
        json!({ "enableAppArmor": true, "selinux": { "enable": true } }),
    )
    .await;
    for (profiles, _) in kinds(&rig) {
        profiles
            .until("web", "does not ask to switch on what is on", |found| {
                condition(found, "Ready").is_some_and(|ready| {
                    let message = ready["message"].as_str().unwrap();
                    message.contains("no node offers") && !message.contains("spec.")
                })
            })
            .await;
    }

    // It appears, as when selinuxd starts; other nodes stay as they are.
    offers_all(&rig, "node-2").await;
    for (profiles, _) in kinds(&rig) {
        profiles
            .says(
                "web",
                "Ready",
                ("False", "Creating"),
                &["waiting for node-2"],
            )
            .await;
        node(&rig, "node-2").installs(&profiles, "web").await;
        let texts = ["installed on 1 of 1 nodes; 1 node does not offer", "node-1"];
        profiles.says("web", "Ready", AVAILABLE, &texts).await;
    }
    // And goes.
    node(&rig, "node-2")
        .offers(&[("Seccomp", None), lacks("SELinux"), lacks("AppArmor")])
        .await;
    for (profiles, _) in kinds(&rig) {
        let why = "node-1, node-2 (not in this kernel)";
        profiles.says("web", "Ready", NOT_OFFERED, &[why]).await;
        // The report that nobody takes back any more holds nothing.
        profiles.delete("web").await;
        profiles.gone("web").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seccomp_is_as_it_was_where_nodes_differ_in_the_rest() {
    let mut rig = Rig::with_nodes(2).await;
    rig.make_node("node-3").await;
    node(&rig, "node-3")
        .offers(&[("Seccomp", Some("not in this kernel")), ("SELinux", None)])
        .await;
    rig.create(&profile::allowing("web", &["read"])).await;
    let found = rig.ready("web").await;
    let expected = "installed on 2 of 2 nodes; 1 node does not offer seccomp: node-3 \
                    (not in this kernel)";
    assert_eq!(profile::message(&found), expected);
    // The same name in another kind is another profile.
    let selinux = selinux(&rig);
    selinux.create("web", json!({})).await;
    node(&rig, "node-3").installs(&selinux, "web").await;
    selinux
        .says(
            "web",
            "Ready",
            AVAILABLE,
            &["installed on 1 of 1 nodes; 2 nodes do not"],
        )
        .await;
    selinux.delete("web").await;
    selinux
        .says("web", "InUse", ("False", "NoActiveWorkloads"), &[])
        .await;
    node(&rig, "node-3").removes(&selinux, "web").await;
    selinux.gone("web").await;
    rig.ready("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_hold_profiles_of_every_kind() {
    let rig = rig_with_all(&["node-1"]).await;
    let annotation = json!({
        "container.apparmor.security.beta.kubernetes.io/app": "localhost/web",
    });
    let process = json!({ "seLinuxOptions": { "type": "web.process" } });
    let local = json!({ "appArmorProfile": { "type": "Localhost", "localhostProfile": "web" } });
    let [(selinux, spec), (raw, policy), (apparmor, empty)] = kinds(&rig);
    for (round, (profiles, spec, context, annotations)) in [
        (&selinux, spec, process.clone(), json!({})),
        (&raw, policy, process, json!({})),
        (&apparmor, empty.clone(), local, json!({})),
        (&apparmor, empty, json!({}), annotation),
    ]
    .into_iter()
    .enumerate()
    {
        let pod = format!("user-{round}");
        let named = format!("default/{pod}");
        profiles.create("web", spec).await;
        node(&rig, "node-1").installs(profiles, "web").await;
        make_pod(&rig, &pod, context, annotations).await;
        profiles
            .until("web", "names the pod", |found| {
                let status = &found.data["status"];
                status["activeWorkloads"] == json!([named]) && status["activeWorkloadsCount"] == 1
            })
            .await;
        profiles.delete("web").await;
        let found = profiles
            .says("web", "InUse", ("True", "ActiveWorkloads"), &[&named])
            .await;
        assert_eq!(found.data["status"]["status"], "Terminating");
        let told = rig.event("ProfileInUse", "web").await;
        assert!(told.contains("in use by default/user-"), "{told}");
        always(Duration::from_secs(1), "nothing is released", async || {
            let found = profiles.api.get("web").await.map_err(|e| e.to_string())?;
            let held = condition(&found, "InUse").is_some_and(|c| c["status"] == "True");
            if held {
                Ok(())
            } else {
                Err(found.data["status"].to_string())
            }
        })
        .await;
        // It has ended, one way or the other.
        if round % 2 == 0 {
            cluster::delete_pod(&rig.client, &pod).await;
        } else {
            let patch = Patch::Merge(json!({ "status": { "phase": "Failed" } }));
            rig.pods()
                .patch_status(&pod, &PatchParams::default(), &patch)
                .await
                .unwrap();
        }
        profiles
            .says("web", "InUse", ("False", "NoActiveWorkloads"), &[])
            .await;
        node(&rig, "node-1").removes(profiles, "web").await;
        profiles.gone("web").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selinux_profile_stays_while_another_inherits_it() {
    let rig = rig_with_all(&["node-1"]).await;
    let (selinux, raw) = (selinux(&rig), raw(&rig));
    let heir = json!({ "inherit": [{ "kind": "SelinuxProfile", "name": "parent" }] });
    selinux.create("parent", json!({})).await;
    selinux.create("child", heir).await;
    raw.create("raw", json!({ "policy": "(blockinherit parent)" }))
        .await;
    for (profiles, name) in [(&selinux, "parent"), (&selinux, "child"), (&raw, "raw")] {
        node(&rig, "node-1").installs(profiles, name).await;
        profiles.says(name, "Ready", AVAILABLE, &[]).await;
    }
    selinux.delete("parent").await;
    let both = "inherited by SelinuxProfile/child, RawSelinuxProfile/raw";
    let held = ("True", "Inherited");
    selinux.says("parent", "InUse", held, &[both]).await;
    // One that is being deleted needs it as long as it is on a node.
    selinux.delete("child").await;
    selinux
        .says("child", "InUse", ("False", "NoActiveWorkloads"), &[])
        .await;
    selinux.says("parent", "InUse", held, &[both]).await;
    node(&rig, "node-1").removes(&selinux, "child").await;
    selinux.gone("child").await;
    selinux
        .until("parent", "is held by one only", |found| {
            condition(found, "InUse").is_some_and(|in_use| {
                let message = in_use["message"].as_str().unwrap();
                message.contains("RawSelinuxProfile/raw") && !message.contains("child")
            })
        })
        .await;
    // It inherits something else now.
    raw.patch(
        "raw",
        json!({ "spec": { "policy": "(blockinherit container)" } }),
    )
    .await;
    selinux
        .says("parent", "InUse", ("False", "NoActiveWorkloads"), &[])
        .await;
    node(&rig, "node-1").removes(&selinux, "parent").await;
    selinux.gone("parent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_starts_again_knows_all_and_writes_nothing() {
    let mut rig = rig_with_all(&["node-1", "node-2"]).await;
    node(&rig, "node-2")
        .offers(&[("SELinux", Some(DISABLED)), ("AppArmor", None)])
        .await;
    let process = json!({ "seLinuxOptions": { "type": "web.process" } });
    make_pod(&rig, "user", process, json!({})).await;
    for (profiles, spec) in kinds(&rig) {
        profiles.create("web", spec).await;
        node(&rig, "node-1").installs(&profiles, "web").await;
        if profiles.kind() == "AppArmorProfile" {
            node(&rig, "node-2").installs(&profiles, "web").await;
        }
        profiles.says("web", "Ready", AVAILABLE, &[]).await;
    }
    selinux(&rig).delete("web").await;
    let held = ("True", "ActiveWorkloads");
    selinux(&rig)
        .says("web", "InUse", held, &["default/user"])
        .await;
    rig.quiet().await;

    let mark = audit::mark();
    assert!(rig.take_manager("manager-0").terminate().await.success());
    rig.start_manager("manager-1").await;
    assert_eq!(rig.leader().await, "manager-1");
    let writes = mark.settled(Duration::from_secs(3)).await;
    let writes: Vec<_> = writes
        .into_iter()
        .filter(|write| write.user != "admin")
        .collect();
    assert!(
        writes.is_empty(),
        "a manager that starts again writes{}",
        audit::list(&writes)
    );

    // What goes on while none runs is seen by the next.
    rig.take_manager("manager-1").kill();
    cluster::delete_pod(&rig.client, "user").await;
    node(&rig, "node-1").removes(&selinux(&rig), "web").await;
    rig.start_manager("manager-2").await;
    selinux(&rig).gone("web").await;
    raw(&rig)
        .until("web", "is not used any more", |found| {
            found.data["status"]["activeWorkloadsCount"] == 0
        })
        .await;
}
