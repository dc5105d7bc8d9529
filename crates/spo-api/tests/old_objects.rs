//! What is stored in clusters that exist: objects without what is optional, and objects which
//! older releases wrote. One that cannot be read fails the list which it is in.

#![expect(
    clippy::unwrap_used,
    reason = "also in the helpers a failed unwrap is a failed test"
)]

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use spo_api::{
    apparmor_profile::{self, AppArmorProfile},
    node_status::{ProfileState, SecurityProfileNodeStatus},
    profile::ProfileKind,
    profile_binding::ProfileBinding,
    profile_recording::{MergeStrategy, ProfileRecording, Recorder},
    raw_selinux_profile::RawSelinuxProfile,
    seccomp_profile::{Action, DesiredState, SeccompProfile},
    selinux_profile::{InheritKind, Mode, SelinuxProfile},
    spod::{
        LogEnricherSource, NotAllowedProfiles, SchedulingSpec, SecurityProfilesOperatorDaemon,
        SecuritySpec, SelinuxSpec, SpodState,
    },
};

/// Reads an object of which the given lines are all but name and version.
fn read<K: DeserializeOwned>(lines: &str) -> K {
    let text = format!("apiVersion: x/v1\nkind: X\nmetadata: {{name: x}}\n{lines}");
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{lines}: {e}"))
}

/// The spec as it is written back.
fn written<K: Serialize>(object: &K) -> Value {
    serde_json::to_value(object).unwrap()["spec"].clone()
}

#[test]
fn an_absent_spec_is_an_empty_one() {
    for lines in ["", "spec: {}"] {
        assert_eq!(
            read::<SelinuxProfile>(lines).spec.inherit[0].name,
            "container"
        );
        assert_eq!(read::<RawSelinuxProfile>(lines).spec.policy, None);
        assert_eq!(read::<AppArmorProfile>(lines).spec.r#abstract, None);
        assert_eq!(
            read::<SecurityProfilesOperatorDaemon>(lines).spec.security,
            None
        );
    }
}

#[test]
fn sparse_profiles_have_the_defaults_of_the_schema() {
    let seccomp: SeccompProfile = read("spec: {defaultAction: SCMP_ACT_ERRNO}");
    assert_eq!(seccomp.spec.state, DesiredState::Enabled);
    assert_eq!(seccomp.spec.syscalls, []);
    assert_eq!(seccomp.status, None);

    let seccomp: SeccompProfile = read(
        "spec:\n  defaultAction: SCMP_ACT_ERRNO\n  architectures: []\n  syscalls:\n  \
         - {names: [read], action: SCMP_ACT_ALLOW}\nstatus: {}",
    );
    assert_eq!(seccomp.spec.syscalls[0].errno_ret, None);
    assert_eq!(seccomp.status.unwrap().status, None);

    let selinux: SelinuxProfile = read("spec: {inherit: [{name: net_container}]}");
    assert_eq!(selinux.spec.inherit[0].kind, InheritKind::System);
    assert_eq!(selinux.spec.mode, Mode::Enforcing);
    assert!(selinux.spec.allow.is_empty());

    let apparmor: AppArmorProfile = read("spec: {abstract: {network: {allowRaw: false}}}");
    assert_eq!(apparmor.spec.mode, apparmor_profile::Mode::Enforce);
    let network = apparmor.spec.r#abstract.unwrap().network.unwrap();
    assert_eq!(
        (network.allow_raw, network.allowed_protocols),
        (Some(false), None)
    );
}

#[test]
fn conditions_of_upstream_are_read() {
    let profile: SelinuxProfile = read(
        "status:\n  status: Installed\n  usage: x.process\n  conditions:\n  - type: Ready\n    \
         status: 'True'\n    reason: Available\n    message: ''\n    \
         lastTransitionTime: '2024-01-01T00:00:00Z'",
    );
    let status = profile.status.unwrap();
    assert_eq!(status.status, Some(ProfileState::Installed));
    assert_eq!(status.conditions[0].observed_generation, None);
}

/// An explicit empty list is not an absent one, also when an object is written back.
#[test]
fn explicit_empties_stay() {
    let profile: SelinuxProfile = read("spec: {inherit: []}");
    assert_eq!(written(&profile)["inherit"], json!([]));

    let spod: SecurityProfilesOperatorDaemon = read(
        "spec: {selinux: {typeTag: '', options: {allowedSystemProfiles: []}}, \
         scheduling: {priorityClassName: ''}, security: {allowedIdentityRegexp: ''}}",
    );
    let spec = written(&spod);
    assert_eq!(spec["selinux"]["typeTag"], "");
    assert_eq!(
        spec["selinux"]["options"]["allowedSystemProfiles"],
        json!([])
    );
    assert_eq!(spec["scheduling"]["priorityClassName"], "");
    assert_eq!(spec["security"]["allowedIdentityRegexp"], "");
}

#[test]
fn a_present_group_of_the_spod_has_its_defaults() {
    let spod: SecurityProfilesOperatorDaemon =
        read("spec: {selinux: {}, security: {}, scheduling: {}, enricher: {}, webhook: {}}");
    let selinux = spod.spec.selinux.unwrap();
    assert_eq!(selinux, SelinuxSpec::default());
    assert_eq!(selinux.type_tag, "spc_t");
    assert_eq!(selinux.enable, None);
    assert_eq!(selinux.options.allowed_system_profiles, ["container"]);
    let security = spod.spec.security.unwrap();
    assert_eq!(security, SecuritySpec::default());
    assert_eq!(security.allowed_identity_regexp, ".*");
    assert_eq!(
        security.not_allowed_profiles.unwrap_or_default(),
        NotAllowedProfiles::Error
    );
    let scheduling = spod.spec.scheduling.unwrap();
    assert_eq!(scheduling, SchedulingSpec::default());
    assert_eq!(scheduling.priority_class_name, "system-node-critical");
    assert_eq!(spod.spec.enricher.unwrap().log_enricher_source, None);
    assert!(!spod.spec.webhook.unwrap().static_config);
}

#[test]
fn a_spod_with_a_bit_of_everything_is_read() {
    let spod: SecurityProfilesOperatorDaemon = read(
        "
spec:
  verbosity: 1
  enableAppArmor: true
  imagePullSecrets: [{name: pull}]
  daemonResourceRequirements:
    limits: {cpu: 2, memory: 128Mi}
  scheduling:
    tolerations: [{operator: Exists}]
    affinity:
      nodeAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]
  security:
    allowedSyscalls: [read, write]
    allowedSeccompActions: [SCMP_ACT_ALLOW, SCMP_ACT_LOG]
    notAllowedProfiles: Delete
  enricher:
    logEnricherSource: Netlink
    jsonEnricherOptions: {auditLogIntervalSeconds: 30}
  webhook:
    options:
    - name: binding.spo.io
      failurePolicy: Ignore
      namespaceSelector: {matchLabels: {a: b}}
status: {state: Running}",
    );
    let spec = spod.spec;
    assert!(spec.enable_app_armor);
    let security = spec.security.unwrap();
    assert_eq!(security.allowed_syscalls, ["read", "write"]);
    assert_eq!(
        security.allowed_seccomp_actions,
        [Action::Allow, Action::Log]
    );
    assert_eq!(
        security.not_allowed_profiles,
        Some(NotAllowedProfiles::Delete)
    );
    let limits = spec.daemon_resource_requirements.unwrap().limits.unwrap();
    assert_eq!(limits["cpu"].0, "2");
    assert_eq!(spec.scheduling.unwrap().tolerations.len(), 1);
    let options = &spec.webhook.unwrap().options[0];
    assert_eq!(options.failure_policy.as_deref(), Some("Ignore"));
    assert_eq!(options.object_selector, None);
}

/// Without a conversion webhook the API server hands out what an old version has stored.
#[test]
fn spellings_of_old_versions_are_read() {
    let recording: ProfileRecording = read(
        "spec: {kind: ApparmorProfile, recorder: bpf, mergeStrategy: containers, podSelector: {}}",
    );
    assert_eq!(recording.spec.kind, ProfileKind::AppArmorProfile);
    assert_eq!(recording.spec.recorder, Recorder::Bpf);
    assert_eq!(recording.spec.merge_strategy, MergeStrategy::Containers);
    let spec = written(&recording);
    assert_eq!(spec["kind"], "AppArmorProfile");
    assert_eq!(spec["recorder"], "Bpf");
    assert_eq!(spec["mergeStrategy"], "Containers");

    let spod: SecurityProfilesOperatorDaemon =
        read("spec: {enricher: {logEnricherSource: bpf}}\nstatus: {state: RUNNING}");
    assert_eq!(
        spod.spec.enricher.unwrap().log_enricher_source,
        Some(LogEnricherSource::Bpf)
    );
    assert_eq!(spod.status.unwrap().state, Some(SpodState::Running));
}

#[test]
fn sparse_objects_of_the_other_kinds_are_read() {
    let binding: ProfileBinding =
        read("spec: {image: '*', profileRef: {kind: SeccompProfile, name: p}}");
    assert_eq!(binding.spec.pod_selector, None);

    let recording: ProfileRecording =
        read("spec: {kind: SeccompProfile, recorder: Logs, podSelector: {matchLabels: {a: b}}}");
    assert_eq!(recording.spec.merge_strategy, MergeStrategy::None);
    assert_eq!(recording.spec.containers, Vec::<String>::new());
    assert!(!recording.spec.disable_profile_after_recording);

    let status: SecurityProfileNodeStatus = read("spec: {nodeName: n}");
    assert_eq!(status.status, None);
    let status: SecurityProfileNodeStatus = read("spec: {nodeName: n}\nstatus: {status: Pending}");
    assert_eq!(status.status.unwrap().status, Some(ProfileState::Pending));
}

/// Fields of releases before the groups are not ours to refuse.
#[test]
fn unknown_fields_do_not_hinder() {
    let spod: SecurityProfilesOperatorDaemon =
        read("spec: {enableSelinux: true, tolerations: [{operator: Exists}], verbosity: 1}");
    assert_eq!(spod.spec.verbosity, Some(1));
    let profile: SelinuxProfile = read("spec: {disabled: true, permissive: true}");
    assert_eq!(profile.spec.state, DesiredState::Enabled);
}
