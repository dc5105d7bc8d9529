//! What is known about the cluster and about this operator, besides the SPOD.
//!
//! Somebody else finds it out. It can be read from a file, in which what is absent is as in a plain
//! Kubernetes cluster without anything optional.

use serde::Deserialize;
use serde_json::Value;

/// What is known about the cluster and about this operator.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Facts {
    /// Namespace of the operator.
    pub namespace: String,
    /// Image of the operator.
    pub image: String,
    /// Pull policy of all images.
    pub image_pull_policy: String,
    /// Directory of the kubelet on the nodes, absolute.
    pub kubelet_dir: String,
    /// What the cluster is.
    pub platform: Platform,
    /// Who issues the serving certificates.
    pub certificates: Certificates,
    /// Image of selinuxd. Without one there is no SELinux, but by the built-in backend.
    pub selinuxd_image: Option<String>,
    /// What was wrong while the image of selinuxd was chosen.
    pub selinuxd_image_problem: Option<String>,
    /// Volume of the files of the JSON enricher, as a VolumeSource, and where it is mounted.
    pub json_log_volume: Option<(Value, String)>,
    /// Value of `RESTRICT_TO_NAMESPACE` of the manager, if it has one.
    pub restrict_to_namespace: Option<String>,
    /// What the environment of the manager switches on.
    pub enabled_by_env: EnabledByEnv,
    /// Whether `monitoring.coreos.com/v1` is served.
    pub service_monitors: bool,
    /// Which optional components the image has.
    pub offers: Offers,
    /// The SPOD as the owner of every object in its namespace.
    pub owner: Option<Owner>,
    /// A cluster-scoped owner of the webhook configurations: an object in a namespace can not own
    /// them, and left behind they would refuse requests for ever.
    pub cluster_owner: Option<ClusterOwner>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            namespace: "security-profiles-operator".to_owned(),
            image: "security-profiles-operator".to_owned(),
            image_pull_policy: "IfNotPresent".to_owned(),
            kubelet_dir: "/var/lib/kubelet".to_owned(),
            platform: Platform::Kubernetes,
            certificates: Certificates::SelfManaged { ca_bundle: None },
            selinuxd_image: None,
            selinuxd_image_problem: None,
            json_log_volume: None,
            restrict_to_namespace: None,
            enabled_by_env: EnabledByEnv::default(),
            service_monitors: false,
            offers: Offers::THIS_VERSION,
            owner: None,
            cluster_owner: None,
        }
    }
}

/// What the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Platform {
    /// Anything but OpenShift.
    Kubernetes,
    /// SELinux is on by default, and pods need a security context constraint.
    OpenShift,
}

/// Who issues the serving certificates of the webhook and of the metrics.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum Certificates {
    /// The operator, which writes the Secrets.
    SelfManaged {
        /// PEM of the certificates to trust, once there are some.
        ca_bundle: Option<String>,
    },
    /// cert-manager.
    CertManager,
    /// The service CA of OpenShift.
    OpenShift,
}

/// What the environment of the manager switches on, besides what the SPOD does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct EnabledByEnv {
    /// `ENABLE_LOG_ENRICHER`
    pub log_enricher: bool,
    /// `ENABLE_JSON_ENRICHER`
    pub json_enricher: bool,
    /// `ENABLE_BPF_RECORDER`
    pub bpf_recorder: bool,
    /// `ENABLE_INSECURE_METRICS_ACCESS`
    pub insecure_metrics: bool,
}

/// Which optional components the image of the operator has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offers {
    /// The log enricher.
    pub log_enricher: bool,
    /// The JSON enricher.
    pub json_enricher: bool,
    /// The BPF recorder.
    pub bpf_recorder: bool,
    /// SelinuxProfiles and RawSelinuxProfiles.
    pub selinux: bool,
    /// AppArmorProfiles.
    pub apparmor: bool,
    /// The webhooks which tell the JSON enricher who asked for an exec.
    pub exec_webhooks: bool,
}

impl Offers {
    /// Everything there can be.
    pub const ALL: Self = Self {
        log_enricher: true,
        json_enricher: true,
        bpf_recorder: true,
        selinux: true,
        apparmor: true,
        exec_webhooks: true,
    };
    /// What there is in this version: profiles of all three mechanisms, and nothing that watches them.
    pub const THIS_VERSION: Self = Self {
        log_enricher: false,
        json_enricher: false,
        bpf_recorder: false,
        selinux: true,
        apparmor: true,
        exec_webhooks: false,
    };
}

/// The SPOD as an owner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// Name of the SPOD.
    pub name: String,
    /// UID of the SPOD.
    pub uid: String,
}

/// A cluster-scoped object as an owner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterOwner {
    /// `group/version` of the owner.
    pub api_version: String,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// UID of the owner.
    pub uid: String,
}
