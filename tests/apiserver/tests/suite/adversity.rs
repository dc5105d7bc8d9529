//! What goes wrong around the manager: permissions that are missing, a leader that dies, an API
//! server that is away or slow, somebody who undoes its work. It converges afterwards, and says of
//! each cause once what it is.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spo_api::spod::{SecurityProfilesOperatorDaemon as Spod, SpodState};
use spo_test_apiserver::audit;
use spo_test_apiserver::cluster::{NAMESPACE, through_proxy};
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::role::{self, Permission};
use spo_test_apiserver::wait::{SOON, eventually, settled};

use crate::crash::{ASKING, attach};

const ADMISSION: &str = "admissionregistration.k8s.io";
const OURS: &str = "security-profiles-operator.x-k8s.io";
const WEBHOOK: &str = "security-profiles-operator-webhook";
const MUTATING: &str = "spo-mutating-webhook-configuration";
const VALIDATING: &str = "spo-validating-webhook-configuration";
const MUTATING_KIND: &str = "MutatingWebhookConfiguration";
const VALIDATING_KIND: &str = "ValidatingWebhookConfiguration";

/// Backoff included: the queue waits at most 30 s.
const CONVERGED: Duration = Duration::from_secs(60);

/// An object of the operator: its group, kind, plural, name.
#[derive(Debug, Clone, Copy)]
struct Object(&'static str, &'static str, &'static str, &'static str);

const DAEMON_SET: Object = Object("apps", "DaemonSet", "daemonsets", "spod");
const DEPLOYMENT: Object = Object("apps", "Deployment", "deployments", WEBHOOK);
const SERVICE: Object = Object("", "Service", "services", "webhook-service");
const METRICS: Object = Object("", "Service", "services", "metrics");
const BUDGET: Object = Object(
    "policy",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    WEBHOOK,
);
const MUTATES: Object = Object(
    ADMISSION,
    MUTATING_KIND,
    "mutatingwebhookconfigurations",
    MUTATING,
);
const VALIDATES: Object = Object(
    ADMISSION,
    VALIDATING_KIND,
    "validatingwebhookconfigurations",
    VALIDATING,
);
const SECRET: Object = Object("", "Secret", "secrets", "metrics-server-cert");

/// Everything that the default SPOD asks for.
const RENDERED: [Object; 7] = [
    DAEMON_SET, DEPLOYMENT, SERVICE, METRICS, BUDGET, MUTATES, VALIDATES,
];

impl Object {
    fn api(self, rig: &Rig) -> Api<DynamicObject> {
        let Self(group, kind, plural, _) = self;
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        match group {
            ADMISSION => Api::all_with(rig.client.clone(), &resource),
            _ => Api::namespaced_with(rig.client.clone(), NAMESPACE, &resource),
        }
    }

    async fn get(self, rig: &Rig) -> Option<DynamicObject> {
        self.api(rig).get_opt(self.3).await.unwrap()
    }

    async fn delete(self, rig: &Rig) {
        let api = self.api(rig);
        api.delete(self.3, &DeleteParams::default()).await.unwrap();
    }

    fn permission(self, verb: &'static str) -> Permission {
        let Self(group, _, resource, name) = self;
        Permission {
            verb,
            group,
            resource,
            subresource: "",
            name,
        }
    }
}

fn spods(rig: &Rig) -> Api<Spod> {
    Api::namespaced(rig.client.clone(), NAMESPACE)
}

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

/// Waits until all that the SPOD asks for is there, and no failure is told.
async fn converges(rig: &Rig) -> Duration {
    let start = Instant::now();
    eventually(CONVERGED, "everything is there", async || {
        for object in RENDERED {
            object.get(rig).await.ok_or(format!("no {object:?}"))?;
        }
        let spod = spods(rig)
            .get("spod")
            .await
            .map_err(|error| error.to_string())?;
        match state(&spod) {
            Some(SpodState::Error | SpodState::Pending) | None => Err(message(&spod)),
            Some(_) => Ok(()),
        }
    })
    .await;
    start.elapsed()
}

/// The log of the manager, without the escapes of quotes.
fn log(rig: &mut Rig) -> String {
    rig.manager("manager-0").log().replace("\\\"", "\"")
}

/// The lines of a log from a place on that an administrator is meant to see.
fn complaints(log: &str, from: usize) -> Vec<&str> {
    let lines = log.get(from..).unwrap_or_default().lines();
    // In the format of klog: the severity, the date, the time.
    lines.filter(|line| line.starts_with(['E', 'W'])).collect()
}

/// The messages of the events about our SPOD that tell of a failure.
async fn told(rig: &Rig, text: &str) -> Vec<String> {
    let uid = spods(rig).get("spod").await.unwrap().uid().unwrap();
    let events: Api<Event> = Api::namespaced(rig.client.clone(), NAMESPACE);
    let about = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    let events = events.list(&about).await.unwrap();
    let told = events.into_iter().filter(|event| {
        let reason = event.reason.as_deref().unwrap_or_default();
        matches!(reason, "CannotUpdateSPOD" | "CannotCreateSPOD")
            && event.message.as_deref().unwrap_or_default().contains(text)
    });
    told.map(|event| format!("{} {}", event.reason.unwrap(), event.message.unwrap()))
        .collect()
}

/// Waits until the SPOD tells of a refusal: what it says.
async fn tells(rig: &Rig, refusal: &str) -> String {
    let spod = rig
        .spod(&format!("says {refusal}"), false, |spod| {
            state(spod) == Some(SpodState::Error) && message(spod).contains(refusal)
        })
        .await;
    message(&spod)
}

/// What a case makes the manager write.
#[derive(Debug, Clone, Copy)]
enum Provoke {
    /// Delete the object: it has to be made again.
    Delete(Object),
    /// Take the conversion webhook out of a definition.
    Unconvert,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_permission_that_is_missing_is_told_once_and_used_when_it_is_there() {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.start_manager("manager-0").await;
    converges(&rig).await;
    let definition = "profilebindings.security-profiles-operator.x-k8s.io";
    let crd = Permission {
        verb: "patch",
        group: "apiextensions.k8s.io",
        resource: "customresourcedefinitions",
        subresource: "",
        name: definition,
    };
    // What is written by server-side apply takes both permissions where the object is not there.
    let applied = [
        DAEMON_SET, DEPLOYMENT, SERVICE, BUDGET, MUTATES, VALIDATES, SECRET,
    ];
    let mut cases = Vec::new();
    for object in applied {
        for verb in ["create", "patch"] {
            let named = format!("{}/{}", object.1, object.3);
            cases.push((object.permission(verb), Provoke::Delete(object), named));
        }
    }
    cases.push((
        crd,
        Provoke::Unconvert,
        format!("CustomResourceDefinition/{definition}"),
    ));
    for (permission, provoke, named) in cases {
        role::deny(&rig.client, &permission).await;
        let from = log(&mut rig).len();
        match provoke {
            Provoke::Delete(object) => object.delete(&rig).await,
            Provoke::Unconvert => unconvert(&rig, definition).await,
        }
        let refusal = format!(
            "cannot {} resource \"{}\"",
            permission.verb, permission.resource
        );
        let text = tells(&rig, &refusal).await;
        assert!(text.contains(&named), "{named}: {text}");
        assert!(text.contains("is forbidden"), "{text}");
        assert!(text.contains("deploy/base"), "the fix is not named: {text}");
        // It is tried again a few times, and not told again.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let events = told(&rig, &named).await;
        let events: Vec<&String> = events
            .iter()
            .filter(|text| text.contains(&refusal))
            .collect();
        assert_eq!(events.len(), 1, "{events:#?}");
        let log = log(&mut rig);
        let lines = complaints(&log, from);
        assert_eq!(lines.len(), 1, "{}", lines.join("\n"));
        assert!(lines[0].contains(&refusal), "{}", lines[0]);

        role::give_back(&rig.client, &permission).await;
        let took = converges(&rig).await;
        if let Provoke::Delete(object) = provoke {
            eventually(CONVERGED, &format!("{object:?} is back"), async || {
                object
                    .get(&rig)
                    .await
                    .map(drop)
                    .ok_or("it is not".to_owned())
            })
            .await;
        }
        println!("{} {named}: converged after {took:.1?}", permission.verb);
    }
}

/// As somebody who applies definitions without their conversion webhook.
async fn unconvert(rig: &Rig, name: &str) {
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "customresourcedefinitions");
    let api: Api<DynamicObject> = Api::all_with(rig.client.clone(), &resource);
    let patch = json!({ "spec": { "conversion": { "strategy": "None", "webhook": null } } });
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_may_not_be_written_keeps_nothing_else_from_being_written() {
    let mut rig = Rig::empty().await;
    rig.deploy();
    let permission = Permission {
        verb: "patch",
        group: OURS,
        resource: "securityprofilesoperatordaemons",
        subresource: "status",
        name: "spod",
    };
    role::deny(&rig.client, &permission).await;
    rig.start_manager("manager-0").await;
    eventually(SOON, "the objects are made", async || {
        for object in RENDERED {
            object.get(&rig).await.ok_or(format!("no {object:?}"))?;
        }
        Ok(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(state(&spods(&rig).get("spod").await.unwrap()), None);
    let log = log(&mut rig);
    let lines = complaints(&log, 0);
    let refusal = "cannot patch resource \"securityprofilesoperatordaemons/status\"";
    let about: Vec<&&str> = lines.iter().filter(|line| line.contains(refusal)).collect();
    assert_eq!(about.len(), 1, "{}", lines.join("\n"));
    role::give_back(&rig.client, &permission).await;
    println!("converged after {:.1?}", converges(&rig).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_roll_out_without_a_permission_makes_all_the_rest() {
    let mut rig = Rig::empty().await;
    rig.deploy();
    let permission = DEPLOYMENT.permission("create");
    role::deny(&rig.client, &permission).await;
    rig.start_manager("manager-0").await;
    tells(&rig, "cannot create resource \"deployments\"").await;
    for object in [DAEMON_SET, SERVICE, METRICS, BUDGET] {
        assert!(object.get(&rig).await.is_some(), "{object:?}");
    }
    // Webhooks that nobody serves would refuse every pod that they are asked about.
    for object in [MUTATES, VALIDATES] {
        assert!(object.get(&rig).await.is_none(), "{object:?}");
    }
    let events = told(&rig, "Deployment/").await;
    assert_eq!(events.len(), 1, "{events:#?}");
    role::give_back(&rig.client, &permission).await;
    println!("converged after {:.1?}", converges(&rig).await);
}

/// What the manager of this account has written.
fn written(mark: audit::Mark) -> Vec<audit::Write> {
    mark.writes_by("security-profiles-operator")
}

async fn make_spod(rig: &Rig) {
    let spod = json!({
        "apiVersion": format!("{OURS}/v1"),
        "kind": "SecurityProfilesOperatorDaemon",
        "metadata": { "name": "spod" },
        "spec": {},
    });
    let spod: Spod = serde_json::from_value(spod).unwrap();
    spods(rig)
        .create(&PostParams::default(), &spod)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_at_any_write_leaves_the_rest_to_the_next() {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.start_manager("manager-0").await;
    converges(&rig).await;
    let (mut killed, mut partial) = (0, 0);
    for (round, nth) in (1..=12).enumerate() {
        spods(&rig)
            .delete("spod", &DeleteParams::default())
            .await
            .unwrap();
        eventually(SOON, "nothing is left", async || {
            for object in RENDERED {
                if object.get(&rig).await.is_some() {
                    return Err(format!("{object:?}"));
                }
            }
            Ok(())
        })
        .await;
        // Another one that waits; elsewhere one of the same name, which need not wait.
        let stands_by = round % 6 == 5;
        if stands_by {
            rig.start_manager("manager-1").await;
        }
        let mark = audit::mark();
        let pid = rig.manager("manager-0").pid();
        let strace = attach(&rig, pid, ASKING[0].0, &format!("signal=KILL:when={nth}")).await;
        make_spod(&rig).await;
        let start = Instant::now();
        let mut ended = false;
        while !ended && start.elapsed() < Duration::from_secs(4) {
            ended = rig.manager("manager-0").ended().is_some();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut there = 0;
        for object in RENDERED {
            there += usize::from(object.get(&rig).await.is_some());
        }
        println!(
            "send {nth}: killed: {ended}, {there} of {} objects",
            RENDERED.len()
        );
        killed += usize::from(ended);
        partial += usize::from(ended && there < RENDERED.len());
        drop(strace);
        rig.take_manager("manager-0").kill();
        if !stands_by {
            rig.start_manager("manager-0").await;
        }
        converges(&rig).await;
        for object in RENDERED {
            let owners = object.get(&rig).await.unwrap().owner_references().to_vec();
            assert_eq!(owners.len(), 1, "{object:?}: {owners:?}");
        }
        let writes = settled(SOON, Duration::from_secs(2), "writes", async || {
            written(mark)
        })
        .await;
        assert!(writes.len() <= 40, "{}", audit::list(&writes));
        if stands_by {
            assert!(rig.take_manager("manager-1").terminate().await.success());
            rig.start_manager("manager-0").await;
            rig.leader().await;
            // It makes nothing before it is in sync.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
    println!("killed {killed} times, {partial} times before everything was there");
    assert!(partial >= 2, "it was never killed in the middle");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_starts_where_all_is_well_writes_nothing() {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.start_manager("manager-0").await;
    converges(&rig).await;
    let mark = audit::mark();
    settled(SOON, Duration::from_secs(2), "writes", async || {
        written(mark)
    })
    .await;
    rig.take_manager("manager-0").kill();
    let mark = audit::mark();
    rig.start_manager("manager-0").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(rig.manager("manager-0").log().contains("became leader"));
    let writes = written(mark);
    assert!(writes.is_empty(), "{}", audit::list(&writes));
}

/// Lines in the busiest second and in all, from a place of a log on. A line begins with its time.
fn busiest(log: &str, from: usize) -> (usize, usize) {
    let mut seconds = std::collections::BTreeMap::<&str, usize>::new();
    let lines = log.get(from..).unwrap_or_default().lines();
    let mut all = 0;
    for line in lines {
        all += 1;
        let second = line.split('.').next().unwrap_or_default();
        *seconds.entry(second).or_default() += 1;
    }
    (seconds.values().copied().max().unwrap_or_default(), all)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_and_then_slow_is_waited_for() {
    // By hand also with 60.
    let away = Duration::from_secs(15);
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.make_node("node-1").await;
    rig.start_daemon("node-1");
    // As in a cluster.
    rig.verbosity = 0;
    let kubeconfig = rig.manager_kubeconfig("manager-0").await;
    let proxy = through_proxy(&kubeconfig).await;
    rig.start_manager_with("manager-0", &kubeconfig).await;
    rig.daemon_is_ready("node-1").await;
    converges(&rig).await;

    let from = rig.manager("manager-0").log().len();
    proxy.cut();
    let cut = Instant::now();
    let spec = json!({ "spec": { "enableMemoryOptimization": true } });
    spods(&rig)
        .patch("spod", &PatchParams::default(), &Patch::Merge(spec))
        .await
        .unwrap();
    METRICS.delete(&rig).await;
    rig.create(&allowing("web", &["read"])).await;
    tokio::time::sleep(away.saturating_sub(cut.elapsed())).await;
    let log = rig.manager("manager-0").log();
    let (busy, all) = busiest(&log, from);
    println!("away for {away:?}: {all} lines, at most {busy} a second");
    assert!(all <= 6, "{}", &log[from..]);
    assert!(
        log[from..].contains("no answer from the API server"),
        "{}",
        &log[from..]
    );

    proxy.slow(Duration::from_millis(300));
    let start = Instant::now();
    eventually(
        Duration::from_secs(90),
        "the changes are put into effect",
        async || {
            METRICS.get(&rig).await.ok_or("no Service metrics")?;
            let daemon = DAEMON_SET.get(&rig).await.ok_or("no DaemonSet")?;
            let args = &daemon.data["spec"]["template"]["spec"]["containers"][0]["args"];
            let told = args
                .as_array()
                .is_some_and(|args| args.contains(&json!("--with-mem-optim=true")));
            told.then_some(()).ok_or(args.to_string())
        },
    )
    .await;
    rig.until(
        Duration::from_secs(90),
        "web",
        "is ready",
        profile::is_ready,
    )
    .await;
    println!("slow: caught up after {:.1?}", start.elapsed());
    assert_eq!(rig.manager("manager-0").ended(), None, "it has ended");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let log = rig.manager("manager-0").log();
    let (busy, all) = busiest(&log, from);
    println!(
        "away and slow: {all} lines, at most {busy} a second:\n{}",
        &log[from..]
    );
    assert!(busy <= 15 && all <= 40, "{busy} a second, {all} in all");
    proxy.mend();
    converges(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fights_for_a_field_loses_and_costs_little() {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.start_manager("manager-0").await;
    converges(&rig).await;
    let from = log(&mut rig).len();
    let mark = audit::mark();
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < Duration::from_secs(3) {
        number += 1;
        let image = json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "security-profiles-operator", "image": format!("evil:{number}") },
        ] } } } });
        DAEMON_SET
            .api(&rig)
            .patch("spod", &PatchParams::default(), &Patch::Strategic(image))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let image = |daemon: &DynamicObject| -> Value {
        daemon.data["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    eventually(SOON, "the image is ours", async || {
        let found = image(&DAEMON_SET.get(&rig).await.unwrap());
        let is_evil = found.as_str().unwrap_or_default().starts_with("evil");
        if is_evil {
            Err(found.to_string())
        } else {
            Ok(())
        }
    })
    .await;
    let applied = written(mark);
    let applied: Vec<_> = applied
        .iter()
        .filter(|w| w.resource == "daemonsets")
        .collect();
    println!(
        "{number} changes, {} writes, right after {:.1?}",
        applied.len(),
        start.elapsed()
    );
    assert!(applied.len() <= 8, "{applied:?}");
    let log = log(&mut rig);
    let lines = complaints(&log, from);
    assert_eq!(lines.len(), 1, "{}", lines.join("\n"));
    assert!(
        lines[0].contains("somebody else keeps changing"),
        "{}",
        lines[0]
    );
}
