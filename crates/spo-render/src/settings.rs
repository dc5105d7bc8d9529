//! What is in effect: the SPOD with its defaults, the environment, the platform and what the image
//! offers, brought together once.
//!
//! The spec is destructured here and nowhere else, so that a new field does not compile until
//! somebody has decided what it renders to.

mod withheld;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;
use spo_api::spod::{
    EnricherSpec, JsonEnricherOptions, LogEnricherSource, SchedulingSpec,
    SecurityProfilesOperatorDaemonSpec, SelinuxSpec, WebhookOptions, WebhookSpec,
};

use crate::facts::{Facts, Platform};
use crate::object::{self, to_json};
use crate::{Withheld, webhook::configurations};

use withheld::Requests;

/// How many daemons may be down at once during an update. All at once, as upstream has it, would
/// interrupt every recording of the cluster.
const MAX_UNAVAILABLE: &str = "10%";

/// The directory which needs no volume, because every container has its own.
const PROC: &str = "/proc";

/// What is in effect.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) verbosity: i32,
    pub(crate) profiling: Profiling,
    pub(crate) metrics: Metrics,
    pub(crate) memory: Memory,
    pub(crate) apparmor: Apparmor,
    /// Whether AppArmorProfiles with a policy are installed, too. Not without the others.
    pub(crate) raw_apparmor: bool,
    pub(crate) selinux: Option<Selinux>,
    /// SELinux type of our containers; absent where somebody set it to nothing.
    pub(crate) type_tag: Option<String>,
    pub(crate) log_enricher: Option<LogEnricher>,
    pub(crate) bpf_recorder: Option<BpfRecorder>,
    pub(crate) json_enricher: Option<JsonEnricher>,
    /// Where the proc file system of the host is, if not where it is in every container.
    pub(crate) host_proc: Option<String>,
    pub(crate) max_unavailable: Value,
    pub(crate) priority_class_name: Option<String>,
    pub(crate) tolerations: Option<Value>,
    pub(crate) affinity: Option<Value>,
    pub(crate) image_pull_secrets: Option<Value>,
    /// Resources of the daemon's container, instead of the ones we ship.
    pub(crate) daemon_resources: Option<Value>,
    /// Absent when the webhooks are deployed by hand.
    pub(crate) webhook: Option<Webhook>,
}

/// Whether our processes serve profiles of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profiling {
    On,
    Off,
}

/// How metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metrics {
    /// With TLS and authentication.
    Secure,
    /// Plain.
    Insecure,
}

/// Which pods the daemon remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    AllPods,
    LabelledPods,
}

/// Whether the daemon installs AppArmorProfiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Apparmor {
    On,
    Off,
}

/// SELinux is on.
#[derive(Debug)]
pub(crate) struct Selinux {
    pub(crate) image: String,
    pub(crate) raw_profiles: bool,
    pub(crate) templates_config_map: Option<String>,
}

/// The log enricher runs.
#[derive(Debug)]
pub(crate) struct LogEnricher {
    pub(crate) filters: Option<String>,
    pub(crate) source: Option<LogEnricherSource>,
}

/// The BPF recorder runs.
#[derive(Debug)]
pub(crate) struct BpfRecorder;

/// The JSON enricher runs.
#[derive(Debug)]
pub(crate) struct JsonEnricher {
    pub(crate) filters: Option<String>,
    pub(crate) options: JsonEnricherOptions,
}

/// The operator deploys its webhooks.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) options: Vec<WebhookOptions>,
    /// Whether sessions in pods are told to the JSON enricher.
    pub(crate) exec_metadata: bool,
    pub(crate) tolerations: Value,
}

impl Settings {
    /// Whether something looks at the processes of the node.
    pub(crate) fn observes(&self) -> bool {
        self.log_enricher.is_some() || self.bpf_recorder.is_some() || self.json_enricher.is_some()
    }
}

/// What is in effect, and what is asked for and is not.
pub(crate) fn settle(
    spec: &SecurityProfilesOperatorDaemonSpec,
    facts: &Facts,
) -> (Settings, Vec<Withheld>) {
    let SecurityProfilesOperatorDaemonSpec {
        verbosity,
        enable_profiling,
        enable_insecure_metrics_access,
        enable_memory_optimization,
        enable_app_armor,
        enable_raw_app_armor_profiles,
        host_proc_volume_path,
        image_pull_secrets,
        daemon_resource_requirements,
        scheduling,
        // The daemon reads it from the SPOD itself.
        security: _,
        selinux,
        enricher,
        webhook,
        // Already merged into the groups.
        flat: _,
    } = spec.clone();
    let SchedulingSpec {
        priority_class_name,
        tolerations,
        affinity,
        max_unavailable: configured_max_unavailable,
    } = scheduling.unwrap_or_default();
    let EnricherSpec {
        enable_log_enricher,
        log_enricher_filters,
        log_enricher_source,
        enable_json_enricher,
        json_enricher_filters,
        json_enricher_options,
        enable_bpf_recorder,
    } = enricher.unwrap_or_default();
    let selinux_spec = selinux.unwrap_or_default();
    let (env, offers) = (facts.enabled_by_env, facts.offers);

    let mut requests = Requests::default();
    let apparmor = requests
        .ask("spec.enableAppArmor", enable_app_armor)
        .granted(
            offers.apparmor,
            "this version does not install AppArmorProfiles",
        );
    let raw_apparmor = requests
        .ask(
            "spec.enableRawAppArmorProfiles",
            enable_raw_app_armor_profiles.unwrap_or_default(),
        )
        .granted(
            apparmor,
            "no AppArmorProfiles are installed: set spec.enableAppArmor, too",
        );
    let (type_tag, selinux) = settle_selinux(selinux_spec, facts, &mut requests);
    let log_enricher = requests
        .ask("spec.enricher.enableLogEnricher", enable_log_enricher)
        .or("ENABLE_LOG_ENRICHER", env.log_enricher)
        .granted(offers.log_enricher, "this version has no log enricher");
    let json_enricher = requests
        .ask("spec.enricher.enableJsonEnricher", enable_json_enricher)
        .or("ENABLE_JSON_ENRICHER", env.json_enricher)
        .granted(offers.json_enricher, "this version has no JSON enricher");
    let exec_metadata = requests
        .ask("spec.enricher.enableJsonEnricher", json_enricher)
        .granted(
            offers.exec_webhooks,
            "this version has no webhook that tells the JSON enricher who asked for an exec",
        );
    let bpf_recorder = requests
        .ask("spec.enricher.enableBpfRecorder", enable_bpf_recorder)
        .or("ENABLE_BPF_RECORDER", env.bpf_recorder)
        .granted(offers.bpf_recorder, "this version has no BPF recorder");
    let webhook = settle_webhook(
        webhook.unwrap_or_default(),
        exec_metadata,
        object::unless_empty(&tolerations),
        &mut requests,
    );

    let settings = Settings {
        verbosity: verbosity.unwrap_or_default(),
        profiling: if enable_profiling {
            Profiling::On
        } else {
            Profiling::Off
        },
        metrics: if enable_insecure_metrics_access || env.insecure_metrics {
            Metrics::Insecure
        } else {
            Metrics::Secure
        },
        memory: if enable_memory_optimization {
            Memory::LabelledPods
        } else {
            Memory::AllPods
        },
        apparmor: if apparmor {
            Apparmor::On
        } else {
            Apparmor::Off
        },
        raw_apparmor,
        selinux,
        type_tag,
        log_enricher: log_enricher.then_some(LogEnricher {
            filters: log_enricher_filters,
            source: log_enricher_source,
        }),
        bpf_recorder: bpf_recorder.then_some(BpfRecorder),
        json_enricher: json_enricher.then_some(JsonEnricher {
            filters: json_enricher_filters,
            options: json_enricher_options.unwrap_or_default(),
        }),
        host_proc: host_proc_volume_path.filter(|path| !path.is_empty() && path != PROC),
        max_unavailable: max_unavailable(configured_max_unavailable.as_ref()),
        priority_class_name: Some(priority_class_name).filter(|name| !name.is_empty()),
        tolerations: object::unless_empty(&tolerations),
        affinity: affinity.as_ref().map(to_json),
        image_pull_secrets: object::unless_empty(&image_pull_secrets),
        daemon_resources: daemon_resource_requirements.as_ref().map(to_json),
        webhook,
    };
    (settings, requests.withheld)
}

/// What the roll-out of the daemon is paced by; `configured` is the SPOD's word on it.
fn max_unavailable(configured: Option<&IntOrString>) -> Value {
    configured.map_or_else(|| Value::from(MAX_UNAVAILABLE), to_json)
}

/// The type of our containers, and SELinux if it is on.
fn settle_selinux(
    spec: SelinuxSpec,
    facts: &Facts,
    requests: &mut Requests,
) -> (Option<String>, Option<Selinux>) {
    let SelinuxSpec {
        enable,
        enable_raw_selinux_profiles,
        type_tag,
        // The daemon reads them from the SPOD itself.
        options: _,
        custom_templates_config_map,
    } = spec;
    let wanted = enable.unwrap_or(match facts.platform {
        Platform::OpenShift => true,
        Platform::Kubernetes => false,
    });
    let on = requests.ask("spec.selinux.enable", wanted).granted(
        facts.offers.selinux,
        "this version does not install SelinuxProfiles",
    );
    let image = facts.selinuxd_image.as_ref();
    let on = requests.ask("spec.selinux.enable", on).granted(
        image.is_some(),
        "no image of selinuxd is known: set RELATED_IMAGE_SELINUXD for the manager",
    );
    let templates_config_map = custom_templates_config_map.filter(|name| !name.is_empty());
    requests
        .ask(
            "spec.selinux.customTemplatesConfigMap",
            templates_config_map.is_some(),
        )
        .granted(
            on,
            "customTemplatesConfigMap is set but SELinux is disabled, the field will be ignored",
        );
    let selinux = image.filter(|_| on).map(|image| Selinux {
        image: image.clone(),
        raw_profiles: enable_raw_selinux_profiles.unwrap_or(true),
        templates_config_map,
    });
    (Some(type_tag).filter(|tag| !tag.is_empty()), selinux)
}

fn settle_webhook(
    spec: WebhookSpec,
    exec_metadata: bool,
    tolerations: Option<Value>,
    requests: &mut Requests,
) -> Option<Webhook> {
    let WebhookSpec {
        static_config,
        options,
    } = spec;
    if static_config {
        requests
            .ask("spec.webhook.options", !options.is_empty())
            .granted(
                false,
                "staticConfig leaves the webhook configurations alone",
            );
        return None;
    }
    for WebhookOptions { name, .. } in &options {
        requests
            .ask(&format!("spec.webhook.options[name={name}]"), true)
            .granted(
                configurations::NAMES.contains(&name.as_str()),
                &format!(
                    "there is no such webhook: use {}",
                    configurations::NAMES.join(", ")
                ),
            );
    }
    Some(Webhook {
        options,
        exec_metadata,
        tolerations: tolerations.unwrap_or_else(webhook_tolerations),
    })
}

/// Where the webhook runs unless the SPOD has tolerations.
fn webhook_tolerations() -> Value {
    serde_json::json!([
        {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"},
        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
    ])
}
