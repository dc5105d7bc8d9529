//! The SPOD: what the manager renders from it, keeps, lets go of, and says about it.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spo_api::spod::{SecurityProfilesOperatorDaemon as Spod, SpodState};
use spo_test_apiserver::audit;
use spo_test_apiserver::cluster::NAMESPACE;
use spo_test_apiserver::env::kubectl;
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};

fn state(spod: &Spod) -> Option<SpodState> {
    spod.status.as_ref()?.state
}

fn message(spod: &Spod) -> String {
    let conditions = spod.status.iter().flat_map(|status| &status.conditions);
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    ready
        .next()
        .map(|ready| ready.message.clone())
        .unwrap_or_default()
}

fn daemons(rig: &Rig) -> Api<DaemonSet> {
    Api::namespaced(rig.client.clone(), NAMESPACE)
}

fn spods(rig: &Rig) -> Api<Spod> {
    Api::namespaced(rig.client.clone(), NAMESPACE)
}

/// The arguments of the daemon.
fn args(daemon: &DaemonSet) -> Vec<String> {
    let spec = daemon.spec.template.spec.as_ref();
    let container = spec.and_then(|spec| spec.containers.first());
    container
        .and_then(|container| container.args.clone())
        .unwrap_or_default()
}

async fn patch_spod(rig: &Rig, spec: Value) {
    let patch = Patch::Merge(json!({ "spec": spec }));
    spods(rig)
        .patch("spod", &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// The operator, up and running on two nodes which are played.
async fn running() -> Rig {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.make_node("node-1").await;
    rig.make_node("node-2").await;
    rig.start_manager("manager-0").await;
    rig.spod("runs", true, |spod| state(spod) == Some(SpodState::Running))
        .await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_spod_the_default_one_is_made_and_runs_when_its_pods_do() {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.make_node("node-1").await;
    rig.make_node("node-2").await;
    rig.start_manager("manager-0").await;
    let spod = rig
        .spod("is being created", false, |spod| {
            message(spod).contains("on 0 of 2 nodes")
        })
        .await;
    assert_eq!(state(&spod), Some(SpodState::Creating));
    assert_eq!(spod.labels()["app"], "security-profiles-operator");
    // Not before every node runs it.
    let spod = rig
        .spod("runs", true, |spod| state(spod) == Some(SpodState::Running))
        .await;
    let expected = "the daemon is ready on 2 of 2 nodes; webhooks: ";
    assert!(message(&spod).starts_with(expected), "{}", message(&spod));
    kubectl(&[
        "wait",
        "-n",
        NAMESPACE,
        "--for=condition=ready",
        "--timeout=10s",
        "spod/spod",
    ])
    .unwrap();

    let client = || rig.client.clone();
    let deployments: Api<Deployment> = Api::namespaced(client(), NAMESPACE);
    deployments
        .get("security-profiles-operator-webhook")
        .await
        .unwrap();
    let services: Api<Service> = Api::namespaced(client(), NAMESPACE);
    services.get("webhook-service").await.unwrap();
    services.get("metrics").await.unwrap();
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client(), NAMESPACE);
    budgets
        .get("security-profiles-operator-webhook")
        .await
        .unwrap();
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client());
    let mutating = mutating
        .get("spo-mutating-webhook-configuration")
        .await
        .unwrap();
    for webhook in mutating.webhooks.unwrap() {
        let bundle = webhook.client_config.ca_bundle.unwrap();
        assert!(
            bundle.0.starts_with(b"-----BEGIN CERTIFICATE-----"),
            "{}",
            webhook.name
        );
    }
    let daemon = daemons(&rig).get("spod").await.unwrap();
    assert_eq!(
        daemon.owner_references()[0].kind,
        "SecurityProfilesOperatorDaemon"
    );
    let image = daemon.spec.template.spec.unwrap().containers[0]
        .image
        .clone();
    let own = deployments.get("security-profiles-operator").await.unwrap();
    assert_eq!(image, own.spec.template.spec.unwrap().containers[0].image);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_or_delete_is_put_back_and_then_nothing_is_written() {
    let rig = running().await;
    let image = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "security-profiles-operator", "image": "evil" },
    ] } } } });
    let params = PatchParams::default();
    daemons(&rig)
        .patch("spod", &params, &Patch::Strategic(image))
        .await
        .unwrap();
    let services: Api<Service> = Api::namespaced(rig.client.clone(), NAMESPACE);
    services
        .delete("metrics", &DeleteParams::default())
        .await
        .unwrap();
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(rig.client.clone());
    let name = "spo-validating-webhook-configuration";
    validating
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
    eventually(SOON, "everything is back", async || {
        let daemon = daemons(&rig)
            .get("spod")
            .await
            .map_err(|error| error.to_string())?;
        let spec = daemon.spec.template.spec.unwrap();
        let image = spec.containers[0].image.clone().unwrap_or_default();
        services
            .get("metrics")
            .await
            .map_err(|error| error.to_string())?;
        validating
            .get(name)
            .await
            .map_err(|error| error.to_string())?;
        if image == "evil" { Err(image) } else { Ok(()) }
    })
    .await;
    rig.spod("runs again", true, |spod| {
        state(spod) == Some(SpodState::Running)
    })
    .await;
    rig.quiet().await;
    let mark = audit::mark();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let writes = mark.writes_by("security-profiles-operator");
    assert!(writes.is_empty(), "{}", audit::list(&writes));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_goes_again() {
    let rig = running().await;
    let priority = |daemon: &DaemonSet| {
        let spec = daemon.spec.template.spec.as_ref();
        spec.and_then(|spec| spec.priority_class_name.clone())
    };
    let until = async |what: &str, look: &dyn Fn(&DaemonSet) -> bool| {
        eventually(SOON, what, async || {
            let daemon = daemons(&rig)
                .get("spod")
                .await
                .map_err(|error| error.to_string())?;
            if look(&daemon) {
                Ok(())
            } else {
                Err(format!("{:?}", args(&daemon)))
            }
        })
        .await;
    };
    let optimized = "--with-mem-optim=true".to_owned();
    patch_spod(
        &rig,
        json!({
            "enableMemoryOptimization": true,
            "scheduling": { "priorityClassName": "system-cluster-critical" },
        }),
    )
    .await;
    until("the daemon is told", &|daemon| {
        args(daemon).contains(&optimized)
            && priority(daemon).as_deref() == Some("system-cluster-critical")
    })
    .await;
    patch_spod(
        &rig,
        json!({ "enableMemoryOptimization": false, "scheduling": null }),
    )
    .await;
    until("the daemon is not told any more", &|daemon| {
        !args(daemon).contains(&optimized)
            && priority(daemon).as_deref() == Some("system-node-critical")
    })
    .await;

    // An override of a webhook, and back.
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(rig.client.clone());
    let policy = async |expected: &str| {
        eventually(
            SOON,
            &format!("binding.spo.io has {expected}"),
            async || {
                let found = mutating.get("spo-mutating-webhook-configuration").await;
                let webhooks = found
                    .map_err(|error| error.to_string())?
                    .webhooks
                    .unwrap_or_default();
                let binding = webhooks
                    .iter()
                    .find(|webhook| webhook.name == "binding.spo.io")
                    .unwrap();
                let policy = binding.failure_policy.clone().unwrap_or_default();
                if policy == expected {
                    Ok(())
                } else {
                    Err(policy)
                }
            },
        )
        .await;
    };
    policy("Fail").await;
    patch_spod(
        &rig,
        json!({ "webhook": { "options": [
        { "name": "binding.spo.io", "failurePolicy": "Ignore" },
    ] } }),
    )
    .await;
    policy("Ignore").await;
    patch_spod(&rig, json!({ "webhook": { "options": null } })).await;
    policy("Fail").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_set_of_upstream_loses_what_only_upstream_wants() {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.make_node("node-1").await;
    // As upstream writes it: created by a client called like ours, without server-side apply.
    let upstream = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": "spod", "namespace": NAMESPACE },
        "spec": {
            "selector": { "matchLabels": { "app": "security-profiles-operator", "name": "spod" } },
            "template": {
                "metadata": { "labels": { "app": "security-profiles-operator", "name": "spod" } },
                "spec": {
                    "hostPID": true,
                    "serviceAccountName": "spod",
                    "containers": [
                        { "name": "security-profiles-operator", "image": "old", "args": ["daemon"],
                          "securityContext": { "privileged": true } },
                        { "name": "log-enricher", "image": "old" },
                    ],
                    "volumes": [{ "name": "host-root-volume", "hostPath": { "path": "/" } }],
                },
            },
        },
    });
    let params = PostParams {
        field_manager: Some("security-profiles-operator".to_owned()),
        ..PostParams::default()
    };
    let upstream: DaemonSet = serde_json::from_value(upstream).unwrap();
    daemons(&rig).create(&params, &upstream).await.unwrap();
    rig.start_manager("manager-0").await;
    eventually(SOON, "the DaemonSet is ours", async || {
        let daemon = daemons(&rig)
            .get("spod")
            .await
            .map_err(|error| error.to_string())?;
        let spec = daemon.spec.template.spec.unwrap();
        let volumes: Vec<String> = spec
            .volumes
            .unwrap_or_default()
            .into_iter()
            .map(|v| v.name)
            .collect();
        let containers: Vec<&str> = spec.containers.iter().map(|c| c.name.as_str()).collect();
        let privileged = spec.containers[0]
            .security_context
            .as_ref()
            .and_then(|c| c.privileged);
        let found = format!(
            "{:?} {volumes:?} {containers:?} {privileged:?}",
            spec.host_pid
        );
        let is_ours = spec.host_pid != Some(true)
            && !volumes.contains(&"host-root-volume".to_owned())
            && containers == ["security-profiles-operator"]
            && privileged != Some(true);
        if is_ours { Ok(()) } else { Err(found) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spod_that_can_not_be_put_into_effect_says_why() {
    let mut rig = Rig::empty().await;
    rig.make_node("node-1").await;
    rig.start_manager("manager-0").await;
    // Nobody says which image to run.
    let spod = rig
        .spod("waits", false, |spod| {
            message(spod).contains("there is no Deployment")
        })
        .await;
    assert_eq!(state(&spod), Some(SpodState::Pending));
    rig.deploy();
    rig.spod("goes on", false, |spod| {
        state(spod) == Some(SpodState::Creating)
    })
    .await;

    // What this version does not have is not silently left out.
    patch_spod(&rig, json!({ "enricher": { "enableLogEnricher": true } })).await;
    eventually(SOON, "a condition names it", async || {
        let spod = spods(&rig).get("spod").await.unwrap();
        let conditions = spod.status.unwrap_or_default().conditions;
        let incomplete = conditions.iter().find(|c| c.type_ == "Incomplete");
        match incomplete {
            Some(condition) if condition.message.contains("enricher.enableLogEnricher") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    // One that nobody acts on says so.
    let other: Spod = serde_json::from_value(json!({
        "apiVersion": "security-profiles-operator.x-k8s.io/v1",
        "kind": "SecurityProfilesOperatorDaemon",
        "metadata": { "name": "other" },
        "spec": {},
    }))
    .unwrap();
    spods(&rig)
        .create(&PostParams::default(), &other)
        .await
        .unwrap();
    eventually(SOON, "the other one says why", async || {
        let spod = spods(&rig).get("other").await.unwrap();
        let text = message(&spod);
        if state(&spod) == Some(SpodState::Error) && text.contains("acts on the SPOD \"spod\" only")
        {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_spod_takes_everything_along() {
    let rig = running().await;
    spods(&rig)
        .delete("spod", &DeleteParams::default())
        .await
        .unwrap();
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(rig.client.clone());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(rig.client.clone());
    let deployments: Api<Deployment> = Api::namespaced(rig.client.clone(), NAMESPACE);
    eventually(SOON, "nothing is left", async || {
        let left = [
            daemons(&rig).get_opt("spod").await.unwrap().is_some(),
            mutating
                .get_opt("spo-mutating-webhook-configuration")
                .await
                .unwrap()
                .is_some(),
            validating
                .get_opt("spo-validating-webhook-configuration")
                .await
                .unwrap()
                .is_some(),
            deployments
                .get_opt("security-profiles-operator-webhook")
                .await
                .unwrap()
                .is_some(),
        ];
        if left.contains(&true) {
            Err(format!("{left:?}"))
        } else {
            Ok(())
        }
    })
    .await;
    // It is not made again while the manager runs.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(spods(&rig).get_opt("spod").await.unwrap().is_none());
}
