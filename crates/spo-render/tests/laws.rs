//! What holds for every SPOD and every cluster.
#![expect(clippy::unwrap_used, reason = "a test helper may panic like a test")]

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use spo_api::spod::{
    EnricherSpec, SecurityProfilesOperatorDaemonSpec as Spec, SelinuxSpec, WebhookSpec,
};
use spo_render::facts::{Certificates, EnabledByEnv, Offers, Owner, Platform};
use spo_render::{Facts, render, to_yaml};

type Toggle = (&'static str, fn(&mut Spec));

/// Every switch of a SPOD.
const TOGGLES: &[Toggle] = &[
    ("enableProfiling", |spec| flip(&mut spec.enable_profiling)),
    ("enableInsecureMetricsAccess", |spec| {
        flip(&mut spec.enable_insecure_metrics_access);
    }),
    ("enableMemoryOptimization", |spec| {
        flip(&mut spec.enable_memory_optimization);
    }),
    ("enableAppArmor", |spec| flip(&mut spec.enable_app_armor)),
    ("enableRawAppArmorProfiles", |spec| {
        let enable = &mut spec.enable_raw_app_armor_profiles;
        *enable = Some(!enable.unwrap_or_default());
    }),
    ("selinux.enable", |spec| {
        let enable = &mut selinux(spec).enable;
        *enable = Some(!enable.unwrap_or_default());
    }),
    ("enricher.enableLogEnricher", |spec| {
        flip(&mut enricher(spec).enable_log_enricher);
    }),
    ("enricher.enableJsonEnricher", |spec| {
        flip(&mut enricher(spec).enable_json_enricher);
    }),
    ("enricher.enableBpfRecorder", |spec| {
        flip(&mut enricher(spec).enable_bpf_recorder);
    }),
    ("webhook.staticConfig", |spec| {
        flip(&mut webhook(spec).static_config)
    }),
];

fn flip(switch: &mut bool) {
    *switch = !*switch;
}

fn selinux(spec: &mut Spec) -> &mut SelinuxSpec {
    spec.selinux.get_or_insert_default()
}

fn enricher(spec: &mut Spec) -> &mut EnricherSpec {
    spec.enricher.get_or_insert_default()
}

fn webhook(spec: &mut Spec) -> &mut WebhookSpec {
    spec.webhook.get_or_insert_default()
}

/// One of these, or nothing.
fn maybe(values: Vec<Value>) -> impl Strategy<Value = Value> {
    prop::option::of(prop::sample::select(values)).prop_map(|value| value.unwrap_or(Value::Null))
}

prop_compose! {
    fn specs()(
        switches in vec(any::<bool>(), 9),
        raw in maybe(vec![json!(true), json!(false)]),
        templates in maybe(vec![json!("templates")]),
        type_tag in maybe(vec![json!("spc_t"), json!(""), json!("unconfined_t")]),
        source in maybe(vec![json!("Auditd"), json!("Bpf"), json!("Netlink"), json!("Auto")]),
        filters in maybe(vec![json!("[]")]),
        options in maybe(vec![json!({"auditLogPath": "/data/a.log", "auditLogMaxAge": 3}), json!({})]),
        proc in maybe(vec![json!("/proc"), json!("/proc/host")]),
        resources in maybe(vec![json!({"limits": {"memory": "1Gi"}}), json!({})]),
        scheduling in maybe(vec![
            json!({}),
            json!({"priorityClassName": "", "tolerations": [{"operator": "Exists"}]}),
            json!({"affinity": {"nodeAffinity": {}}}),
        ]),
        secrets in maybe(vec![json!([]), json!([{"name": "registry"}])]),
        webhooks in maybe(vec![
            json!([{"name": "binding.spo.io", "objectSelector": {}}]),
            json!([{"name": "nonsense", "failurePolicy": "Ignore"}]),
        ]),
        verbosity in maybe(vec![json!(0), json!(3)]),
        groups in vec(any::<bool>(), 3),
        raw_apparmor in any::<Option<bool>>(),
    ) -> Spec {
        let group = |present: bool, group: Value| if present { group } else { Value::Null };
        let value = json!({
            "verbosity": verbosity,
            "enableProfiling": switches[0],
            "enableInsecureMetricsAccess": switches[1],
            "enableMemoryOptimization": switches[2],
            "enableAppArmor": switches[3],
            "enableRawAppArmorProfiles": raw_apparmor,
            "hostProcVolumePath": proc,
            "imagePullSecrets": secrets,
            "daemonResourceRequirements": resources,
            "scheduling": scheduling,
            "selinux": group(groups[0], json!({
                "enable": switches[4],
                "enableRawSelinuxProfiles": raw,
                "customTemplatesConfigMap": templates,
                "typeTag": type_tag,
            })),
            "enricher": group(groups[1], json!({
                "enableLogEnricher": switches[5],
                "logEnricherSource": source,
                "logEnricherFilters": filters,
                "enableJsonEnricher": switches[6],
                "jsonEnricherFilters": filters,
                "jsonEnricherOptions": options,
                "enableBpfRecorder": switches[7],
            })),
            "webhook": group(groups[2], json!({"staticConfig": switches[8], "options": webhooks})),
        });
        serde_json::from_value(without_nulls(value)).unwrap()
    }
}

prop_compose! {
    fn clusters()(
        openshift in any::<bool>(),
        certificates in prop::sample::select(vec![
            Certificates::CertManager,
            Certificates::OpenShift,
            Certificates::SelfManaged { ca_bundle: None },
            Certificates::SelfManaged { ca_bundle: Some("pem".to_owned()) },
        ]),
        kubelet_dir in prop::sample::select(vec!["/var/lib/kubelet", "/mnt/resource/kubelet"]),
        log_volume in prop::option::of(Just((json!({"emptyDir": {}}), "/data".to_owned()))),
        env in vec(any::<bool>(), 4),
        offers in vec(any::<bool>(), 6),
        monitors in any::<bool>(),
        image in prop::option::of(Just("selinuxd".to_owned())),
        restrict in prop::option::of(Just("team".to_owned())),
    ) -> Facts {
        Facts {
            kubelet_dir: kubelet_dir.to_owned(),
            platform: if openshift { Platform::OpenShift } else { Platform::Kubernetes },
            certificates,
            selinuxd_image: image,
            json_log_volume: log_volume,
            restrict_to_namespace: restrict,
            enabled_by_env: EnabledByEnv {
                log_enricher: env[0],
                json_enricher: env[1],
                bpf_recorder: env[2],
                insecure_metrics: env[3],
            },
            service_monitors: monitors,
            offers: Offers {
                log_enricher: offers[0],
                json_enricher: offers[1],
                bpf_recorder: offers[2],
                selinux: offers[3],
                apparmor: offers[4],
                exec_webhooks: offers[5],
            },
            owner: Some(Owner { name: "spod".to_owned(), uid: "uid".to_owned() }),
            ..Facts::default()
        }
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect(),
        other => other,
    }
}

/// Everything offered and nothing switched on by the environment: the SPOD decides.
fn everything() -> Facts {
    Facts {
        offers: Offers::ALL,
        selinuxd_image: Some("selinuxd".to_owned()),
        ..Facts::default()
    }
}

/// The pod specs of the workloads among the objects.
fn pods(objects: &[Value]) -> impl Iterator<Item = &Value> {
    let pods = objects
        .iter()
        .map(|object| &object["spec"]["template"]["spec"]);
    pods.filter(|pod| !pod.is_null())
}

fn items<'a>(value: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    value[list].as_array().into_iter().flatten()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    items(pod, "initContainers").chain(items(pod, "containers"))
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether no two items have the same value of the key: server-side apply refuses those.
fn are_distinct<'a>(items: impl Iterator<Item = &'a Value>, key: &str) -> bool {
    let mut seen = BTreeSet::new();
    items
        .into_iter()
        .all(|item| seen.insert(item[key].to_string()))
}

proptest! {
    // Each is a handful of whole clusters; the choices are few.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_again_is_the_same(spec in specs(), facts in clusters()) {
        let (once, again) = (render("spod", &spec, &facts), render("spod", &spec, &facts));
        prop_assert_eq!(to_yaml(&once.objects), to_yaml(&again.objects));
        prop_assert_eq!(once, again);
    }

    #[test]
    fn a_switch_does_something_and_leaves_nothing_behind(spec in specs()) {
        let facts = everything();
        let before = render("spod", &spec, &facts);
        for (name, toggle) in TOGGLES {
            let mut spec = spec.clone();
            toggle(&mut spec);
            prop_assert_ne!(&render("spod", &spec, &facts), &before, "{} does nothing", name);
            toggle(&mut spec);
            prop_assert_eq!(&render("spod", &spec, &facts), &before, "{} stays", name);
        }
    }

    #[test]
    fn what_is_mounted_is_declared_and_the_other_way_round(spec in specs(), facts in clusters()) {
        let objects = render("spod", &spec, &facts).objects;
        for pod in pods(&objects) {
            let mounts = containers(pod).flat_map(|container| items(container, "volumeMounts"));
            let mounted: BTreeSet<&str> = mounts.map(|mount| mount["name"].as_str().unwrap()).collect();
            let declared: BTreeSet<&str> =
                items(pod, "volumes").map(|volume| volume["name"].as_str().unwrap()).collect();
            prop_assert_eq!(mounted, declared);
        }
    }

    #[test]
    fn lists_have_distinct_keys(spec in specs(), facts in clusters()) {
        let objects = render("spod", &spec, &facts).objects;
        for pod in pods(&objects) {
            prop_assert!(are_distinct(containers(pod), "name"));
            prop_assert!(are_distinct(items(pod, "volumes"), "name"));
            for container in containers(pod) {
                prop_assert!(are_distinct(items(container, "env"), "name"));
                prop_assert!(are_distinct(items(container, "volumeMounts"), "mountPath"));
            }
        }
        for object in &objects {
            prop_assert!(are_distinct(items(object, "webhooks"), "name"));
        }
        let identities = objects
            .iter()
            .map(|object| json!({"id": [object["kind"], object["metadata"]["name"]]}))
            .collect::<Vec<Value>>();
        prop_assert!(are_distinct(identities.iter(), "id"));
    }

    #[test]
    fn objects_are_complete(spec in specs(), facts in clusters()) {
        for object in render("spod", &spec, &facts).objects {
            prop_assert!(!has_null(&object), "{object}");
            let metadata = &object["metadata"];
            prop_assert!(object["apiVersion"].is_string() && object["kind"].is_string());
            prop_assert!(metadata["name"].is_string());
            prop_assert_eq!(&metadata["labels"]["app"], "security-profiles-operator");
            prop_assert_eq!(&object["status"], &Value::Null);
            let cluster_scoped = [
                "SeccompProfile",
                "MutatingWebhookConfiguration",
                "ValidatingWebhookConfiguration",
            ];
            if cluster_scoped.contains(&object["kind"].as_str().unwrap()) {
                prop_assert_eq!(&metadata["namespace"], &Value::Null);
            } else {
                prop_assert_eq!(&metadata["namespace"], "security-profiles-operator");
                prop_assert_eq!(&metadata["ownerReferences"][0]["uid"], "uid");
            }
        }
    }

    #[test]
    fn only_the_copier_is_privileged_and_nothing_keeps_what_it_was_not_given(
        spec in specs(),
        facts in clusters(),
    ) {
        let objects = render("spod", &spec, &facts).objects;
        for pod in pods(&objects) {
            prop_assert_eq!(&pod["hostNetwork"], &Value::Null);
            for container in containers(pod) {
                let security = &container["securityContext"];
                let privileged = security["privileged"] == true;
                let is_copier = container["name"] == "selinux-shared-policies-copier";
                prop_assert_eq!(privileged, is_copier, "{}", container["name"]);
                prop_assert_eq!(&security["capabilities"]["drop"], &json!(["ALL"]));
                prop_assert_eq!(&security["readOnlyRootFilesystem"], true);
            }
        }
    }

    #[test]
    fn what_this_version_lacks_is_not_started_but_said(spec in specs(), facts in clusters()) {
        let facts = Facts { offers: Offers::THIS_VERSION, ..facts };
        let rendered = render("spod", &spec, &facts);
        let daemon_set = rendered.objects.iter().find(|object| object["kind"] == "DaemonSet");
        let pod = &daemon_set.unwrap()["spec"]["template"]["spec"];
        let names: Vec<&str> =
            containers(pod).map(|container| container["name"].as_str().unwrap()).collect();
        let offered = [
            "non-root-enabler",
            "selinux-shared-policies-copier",
            "security-profiles-operator",
            "selinuxd",
        ];
        prop_assert!(names.iter().all(|name| offered.contains(name)), "{:?}", names);
        prop_assert_eq!(names.contains(&"selinuxd"), names.contains(&offered[1]));
        prop_assert_eq!(&pod["hostPID"], &Value::Null);
        let withheld: BTreeSet<&str> =
            rendered.withheld.iter().map(|withheld| withheld.field.as_str()).collect();
        prop_assert!(!withheld.contains("spec.enableAppArmor"));
        let enricher = spec.enricher.unwrap_or_default();
        let field = "spec.enricher.enableBpfRecorder";
        prop_assert_eq!(withheld.contains(field), enricher.enable_bpf_recorder);
    }
}
