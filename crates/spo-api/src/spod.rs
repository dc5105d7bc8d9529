//! SecurityProfilesOperatorDaemon v1, the SPOD: how the operator itself is configured.
//!
//! A default of the schema only applies where its group is present, so every group is an `Option`
//! whose `Default` is what an empty group means: `spec.selinux.clone().unwrap_or_default()`.

pub mod effective;
pub mod flat;
pub mod held;

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, ResourceRequirements, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::seccomp_profile::Action;
use flat::Flat;

/// SecurityProfilesOperatorDaemonSpec configures the node daemon, the webhooks and what profiles
/// may contain.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "security-profiles-operator.x-k8s.io",
    version = "v1",
    kind = "SecurityProfilesOperatorDaemon",
    plural = "securityprofilesoperatordaemons",
    namespaced,
    shortname = "spod",
    status = "SecurityProfilesOperatorDaemonStatus",
    derive = "PartialEq",
    derive = "Default",
    // An absent spec is an empty one, and one object without a spec must not fail a whole list.
    attr = "cfg_attr(all(), serde(default))",
    doc = "SecurityProfilesOperatorDaemon configures the operator: which mechanisms its node \
           daemon serves, where the daemon runs, and what profiles may contain. Only objects in \
           the namespace of the operator are acted on. The operator creates one called `spod` \
           when there is none.",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(default, rename_all = "camelCase")]
pub struct SecurityProfilesOperatorDaemonSpec {
    /// verbosity of the logs of the operator. 0, which is also what an absent value means, logs
    /// what an administrator acts on; 1 and above add what explains a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub verbosity: Option<i32>,

    /// enableProfiling makes the containers of the daemon serve profiles of their own CPU use over
    /// HTTP, on port 6060 and the ones that follow. Off by default.
    pub enable_profiling: bool,

    /// enableInsecureMetricsAccess serves the metrics without TLS and without authentication. Off
    /// by default: metrics name pods and profiles, so switch this on in closed networks only.
    pub enable_insecure_metrics_access: bool,

    /// enableMemoryOptimization makes the daemon remember only pods which carry the label
    /// `spo.x-k8s.io/enable-recording=true`. Off by default. Saves memory on nodes with many pods;
    /// pods without the label cannot be recorded then.
    pub enable_memory_optimization: bool,

    /// enableAppArmor makes the daemon install AppArmorProfiles. Off by default, because loading
    /// AppArmor profiles needs a privileged container.
    pub enable_app_armor: bool,

    /// enableRawAppArmorProfiles makes the daemon install AppArmorProfiles with a policy, too.
    /// Absent means off. A policy is text, which can allow nearly anything: switch it on where
    /// authors of profiles are trusted like administrators of the nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_raw_app_armor_profiles: Option<bool>,

    /// hostProcVolumePath is the directory of the node which is mounted as the proc file system of
    /// the host. Absent means `/proc`. Only needed where the processes of the node are visible
    /// elsewhere, as in clusters whose nodes are containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/proc(/.*)?$"))]
    pub host_proc_volume_path: Option<String>,

    /// imagePullSecrets are Secrets in the namespace of the operator with which the images of the
    /// pods that the operator creates are pulled. Without any, images are pulled anonymously.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "image_pull_secrets")]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// daemonResourceRequirements are the resource requests and limits of the main container of
    /// the daemon. Absent means the ones which the operator ships with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = claims_by_name)]
    pub daemon_resource_requirements: Option<ResourceRequirements>,

    /// scheduling says on which nodes the daemon runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<SchedulingSpec>,

    /// security restricts what profiles may contain and where base profiles may come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<SecuritySpec>,

    /// selinux configures the support for SelinuxProfiles and RawSelinuxProfiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux: Option<SelinuxSpec>,

    /// enricher configures the parts which observe workloads: the log enricher, the JSON enricher
    /// and the BPF recorder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enricher: Option<EnricherSpec>,

    /// webhook configures the admission webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookSpec>,

    /// The names that fields had before there were groups. [`effective::effective`] says what is
    /// in force.
    #[serde(flatten)]
    pub flat: Flat,
}

/// SchedulingSpec says on which nodes the daemon runs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct SchedulingSpec {
    /// priorityClassName is the priority class of the daemon. The default keeps the daemon on its
    /// node when memory gets short. An explicit empty text means no priority class.
    pub priority_class_name: String,

    /// tolerations of the daemon. Unless empty, the pods of the webhook get them, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,

    /// affinity of the daemon. Absent means every Linux node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// maxUnavailable is how many nodes, as a number or as a percentage of all nodes, may be without
    /// the daemon while it is updated. Absent means what the operator ships with. A daemon that
    /// restarts loses what it is recording; profiles stay in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "max_unavailable")]
    pub max_unavailable: Option<IntOrString>,
}

impl Default for SchedulingSpec {
    fn default() -> Self {
        Self {
            priority_class_name: "system-node-critical".to_owned(),
            tolerations: Vec::new(),
            affinity: None,
            max_unavailable: None,
        }
    }
}

/// SecuritySpec restricts what profiles may contain and where base profiles may come from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct SecuritySpec {
    /// allowedSyscalls are the only system calls which a SeccompProfile may let through. Absent or
    /// empty means that there is no restriction. It applies to the profile united with its base
    /// profile, and to every action after which the system call is executed or handed on:
    /// `SCMP_ACT_ALLOW`, `SCMP_ACT_LOG`, `SCMP_ACT_TRACE` and `SCMP_ACT_NOTIFY`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_syscalls: Vec<String>,

    /// allowedSeccompActions are the only actions which a SeccompProfile may use, as an action of
    /// a rule or as the default action. Absent or empty means that there is no restriction. It
    /// applies no matter whether allowedSyscalls is set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub allowed_seccomp_actions: Vec<Action>,

    /// notAllowedProfiles says what happens to a SeccompProfile which is not allowed by
    /// allowedSyscalls or allowedSeccompActions, for example because one of them has changed.
    /// `Error`, which is also what an absent value means, takes the profile off the nodes and says
    /// why in its status; the object stays. `Delete` deletes the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_allowed_profiles: Option<NotAllowedProfiles>,

    /// disableOciArtifactSignatureVerification accepts base profiles from a registry without a
    /// signature. Off by default: who can write to the registry decides then what is installed.
    pub disable_oci_artifact_signature_verification: bool,

    /// allowedIdentityRegexp is a regular expression for the identity which signed a base profile
    /// in a registry, for example `^https://github\.com/example/profiles/`. The default `.*`
    /// accepts every signer; name the ones you trust.
    pub allowed_identity_regexp: String,

    /// allowedOidcIssuerRegexp is a regular expression for the OpenID Connect issuer which vouched
    /// for the identity, for example `^https://token\.actions\.githubusercontent\.com$`. The
    /// default `.*` accepts every issuer.
    pub allowed_oidc_issuer_regexp: String,
}

impl Default for SecuritySpec {
    fn default() -> Self {
        Self {
            allowed_syscalls: Vec::new(),
            allowed_seccomp_actions: Vec::new(),
            not_allowed_profiles: None,
            disable_oci_artifact_signature_verification: false,
            allowed_identity_regexp: ".*".to_owned(),
            allowed_oidc_issuer_regexp: ".*".to_owned(),
        }
    }
}

/// What happens to profiles which the restrictions do not allow.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum NotAllowedProfiles {
    #[default]
    Error,
    Delete,
}

/// SelinuxSpec configures the support for SELinux.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct SelinuxSpec {
    /// enable makes the daemon install SelinuxProfiles. Absent means on in OpenShift and off
    /// elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable: Option<bool>,

    /// enableRawSelinuxProfiles makes the daemon install RawSelinuxProfiles, too. Absent means on
    /// if SELinux is on. A raw profile is policy text, which can say nearly anything: switch it off
    /// where authors of profiles are not trusted like administrators of the nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_raw_selinux_profiles: Option<bool>,

    /// typeTag is the SELinux type in which the containers of the operator run.
    pub type_tag: String,

    /// options say what SelinuxProfiles may contain.
    #[schemars(extend("default" = {}))]
    pub options: SelinuxOptions,

    /// customTemplatesConfigMap names a ConfigMap in the namespace of the operator whose keys are
    /// file names that end in `.cil`. These policies replace the ones which the operator ships
    /// with and which profiles inherit from. Absent means the shipped ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub custom_templates_config_map: Option<String>,
}

impl Default for SelinuxSpec {
    fn default() -> Self {
        Self {
            enable: None,
            enable_raw_selinux_profiles: None,
            type_tag: "spc_t".to_owned(),
            options: SelinuxOptions::default(),
            custom_templates_config_map: None,
        }
    }
}

/// SelinuxOptions say what SelinuxProfiles may contain.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct SelinuxOptions {
    /// allowedSystemProfiles are the policies of the node which a profile may inherit with kind
    /// `System`. An explicit empty list allows none.
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_system_profiles: Vec<String>,

    /// deniedTypes are target types which no profile may name, in addition to the built-in ones
    /// (`kernel_t`, `kmem_t`, `security_t`, `shadow_t`). They win over allowedTypes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub denied_types: Vec<String>,

    /// deniedClasses are object classes which no profile may name, in addition to the built-in ones
    /// (`capability`, `capability2`, `security`, `system`). They win over allowedClasses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub denied_classes: Vec<String>,

    /// deniedPermissions are permissions which no profile may give, in addition to the built-in
    /// ones (`load_policy`, `mac_admin`, `mounton`, `relabelfrom`, `relabelto`, `setbool`,
    /// `setenforce`, `setsecparam`). They win over allowedPermissions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub denied_permissions: Vec<String>,

    /// allowedTypes are taken off the built-in list of denied types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_types: Vec<String>,

    /// allowedClasses are taken off the built-in list of denied classes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_classes: Vec<String>,

    /// allowedPermissions are taken off the built-in list of denied permissions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_permissions: Vec<String>,
}

impl Default for SelinuxOptions {
    fn default() -> Self {
        Self {
            allowed_system_profiles: vec!["container".to_owned()],
            denied_types: Vec::new(),
            denied_classes: Vec::new(),
            denied_permissions: Vec::new(),
            allowed_types: Vec::new(),
            allowed_classes: Vec::new(),
            allowed_permissions: Vec::new(),
        }
    }
}

/// EnricherSpec configures the parts which observe workloads.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct EnricherSpec {
    /// enableLogEnricher runs the log enricher, which adds pod and container to the audit records
    /// of the node. Off by default. Recordings with the recorder `Logs` need it.
    pub enable_log_enricher: bool,

    /// logEnricherFilters say which records the log enricher prints. They are a JSON list of rules,
    /// for example `[{"priority":10,"level":"None","matchKeys":["comm"],"matchValues":["sh"]}]`:
    /// the first rule that matches decides, by ascending priority, and the level `None` drops the
    /// record. What no rule matches is printed, so that absent filters print everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_enricher_filters: Option<String>,

    /// logEnricherSource is where audit records come from: the log file of auditd (`Auditd`), BPF
    /// (`Bpf`), the audit socket of the kernel (`Netlink`), or the first of these which the node
    /// offers (`Auto`). Absent means `Auditd`, and `Netlink` on a node without a log file of
    /// auditd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_enricher_source: Option<LogEnricherSource>,

    /// enableJsonEnricher runs the JSON enricher, which writes what is executed in pods, and by
    /// whom, as JSON lines. Off by default.
    pub enable_json_enricher: bool,

    /// jsonEnricherFilters say which records the JSON enricher writes, in the format of
    /// logEnricherFilters. Absent filters write everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_enricher_filters: Option<String>,

    /// jsonEnricherOptions say where the JSON enricher writes to and how long it keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_enricher_options: Option<JsonEnricherOptions>,

    /// enableBpfRecorder runs the BPF recorder. Off by default. Recordings with the recorder `Bpf`
    /// need it.
    pub enable_bpf_recorder: bool,
}

/// Where audit records come from. Old versions write the values in lower case.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum LogEnricherSource {
    #[default]
    #[serde(alias = "auditd")]
    Auditd,
    #[serde(alias = "bpf")]
    Bpf,
    #[serde(alias = "netlink")]
    Netlink,
    #[serde(alias = "auto")]
    Auto,
}

/// JsonEnricherOptions say where the JSON enricher writes to and how long it keeps it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct JsonEnricherOptions {
    /// auditLogIntervalSeconds is the time in seconds over which the system calls of a process are
    /// put into one line. Absent means 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub audit_log_interval_seconds: Option<i32>,

    /// auditLogPath is the file on the node to which lines are written. Absent means the standard
    /// output of the container; the other auditLog fields on files have no effect then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_log_path: Option<String>,

    /// auditLogMaxSize is the size in megabytes at which the file is rotated. Absent means 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub audit_log_max_size: Option<i32>,

    /// auditLogMaxBackups is how many rotated files are kept. Absent means all, as far as
    /// auditLogMaxAge lets them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub audit_log_max_backups: Option<i32>,

    /// auditLogMaxAge is for how many days rotated files are kept. Absent means for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub audit_log_max_age: Option<i32>,
}

/// WebhookSpec configures the admission webhooks.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct WebhookSpec {
    /// staticConfig says that the webhook configurations of the cluster are deployed by hand. Off
    /// by default. The operator leaves them alone if it is on, and options have no effect then.
    pub static_config: bool,

    /// options override parts of single webhooks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"]
    ))]
    pub options: Vec<WebhookOptions>,
}

/// WebhookOptions override parts of one webhook. What is absent stays as it is shipped.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WebhookOptions {
    /// name of the webhook: `binding.spo.io`, `recording.spo.io`, `execmetadata.spo.io` or
    /// `nodedebuggingpod.spo.io`. Other names have no effect.
    #[schemars(length(min = 1))]
    pub name: String,

    /// failurePolicy is what the API server does when the webhook cannot be reached: `Fail` refuses
    /// the request, `Ignore` goes on without the webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "self == 'Ignore' || self == 'Fail'",
        "message": "failurePolicy is Ignore or Fail",
    }]))]
    pub failure_policy: Option<String>,

    /// namespaceSelector replaces the selector of the namespaces in which the webhook is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,

    /// objectSelector replaces the selector of the objects for which the webhook is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_selector: Option<LabelSelector>,
}

/// SecurityProfilesOperatorDaemonStatus says how far the daemon is rolled out.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecurityProfilesOperatorDaemonStatus {
    /// state of the roll-out of the daemon: `Pending` before anything has been created, `Creating`
    /// and `Updating` while pods come up, `Running` when the daemon is ready on every node, and
    /// `Error` when the configuration cannot be put into effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SpodState>,

    /// conditions hold the condition `Ready`, whose message says what the operator waits for or
    /// what is wrong with the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::list_schema")]
    pub conditions: Vec<Condition>,
}

/// State of the roll-out of the daemon. Old versions write the values in upper case.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "contract 01, 5.4; a doc comment would become oneOf"
)]
pub enum SpodState {
    #[serde(alias = "PENDING")]
    Pending,
    #[serde(alias = "CREATING")]
    Creating,
    #[serde(alias = "UPDATING")]
    Updating,
    #[serde(alias = "RUNNING")]
    Running,
    #[serde(alias = "ERROR")]
    Error,
}

/// The name is optional in the Kubernetes API, where old clients wrote empty ones.
fn image_pull_secrets(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "description": "A Secret in the namespace of the operator.",
            "properties": {
                "name": {
                    "type": "string",
                    "description": "name of the Secret.",
                    "default": "",
                },
            },
            "x-kubernetes-map-type": "atomic",
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    })
}

/// None at all would be an update that never happens.
fn max_unavailable(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{ "type": "integer" }, { "type": "string" }],
        "minimum": 1,
        "pattern": "^(100|[1-9][0-9]?)%$",
    })
}

/// The marker which k8s-openapi's type does not have.
fn claims_by_name(requirements: &mut Schema) {
    if let Some(claims) = requirements.pointer_mut("/properties/claims") {
        claims["x-kubernetes-list-type"] = "map".into();
        claims["x-kubernetes-list-map-keys"] = ["name"].as_slice().into();
    }
}
