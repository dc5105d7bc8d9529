//! The volumes of the pod: one enum of all there can be, and a pod declares the ones it mounts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{Context, names};

use super::container::Container;

/// Where the profiles are on the node, and the links to them lead.
pub(crate) const OPERATOR_DIR: &str = "/var/lib/security-profiles-operator";

/// A volume, in the order in which they are declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Volume {
    Operator,
    Kubelet,
    Profiles,
    SelinuxDropDir,
    SelinuxdPrivate,
    SelinuxFs,
    SelinuxEtc,
    SelinuxStore,
    SelinuxTemplates,
    ApparmorEtc,
    AuditLog,
    Syslog,
    MetricsCert,
    KernelDebug,
    KernelSecurity,
    KernelTracing,
    Tmp,
    Grpc,
    Home,
    Proc,
    JsonLog,
}

/// A volume in a container.
#[derive(Debug)]
pub(crate) struct Mount {
    volume: Volume,
    path: String,
    access: Access,
}

#[derive(Clone, Copy, Debug)]
enum Access {
    Read,
    Write,
}

impl Mount {
    pub(crate) fn read(volume: Volume, path: impl Into<String>) -> Self {
        Self {
            volume,
            path: path.into(),
            access: Access::Read,
        }
    }

    pub(crate) fn write(volume: Volume, path: impl Into<String>) -> Self {
        Self {
            volume,
            path: path.into(),
            access: Access::Write,
        }
    }

    pub(crate) fn render(&self) -> Value {
        let read_only = match self.access {
            Access::Read => Some(true),
            Access::Write => None,
        };
        json!({"name": self.volume.name(), "mountPath": self.path, "readOnly": read_only})
    }
}

/// The volumes which these containers mount.
pub(crate) fn declare<'a>(
    containers: impl Iterator<Item = &'a Container>,
    context: Context<'_>,
) -> Vec<Value> {
    let mounts = containers.flat_map(|container| &container.mounts);
    let volumes: BTreeSet<Volume> = mounts.map(|mount| mount.volume).collect();
    volumes
        .into_iter()
        .map(|volume| {
            let mut declared = volume.source(context);
            declared["name"] = volume.name().into();
            declared
        })
        .collect()
}

impl Volume {
    /// The names are upstream's, where it has the volume.
    fn name(self) -> &'static str {
        match self {
            Self::Operator => "host-operator-volume",
            Self::Kubelet => "host-kubelet-volume",
            Self::Profiles => "operator-profiles-volume",
            Self::SelinuxDropDir => "selinux-drop-dir",
            Self::SelinuxdPrivate => "selinuxd-private-volume",
            Self::SelinuxFs => "host-fsselinux-volume",
            Self::SelinuxEtc => "host-etcselinux-volume",
            Self::SelinuxStore => "host-varlibselinux-volume",
            Self::SelinuxTemplates => "selinux-custom-templates",
            Self::ApparmorEtc => "host-etcapparmor-volume",
            Self::AuditLog => "host-auditlog-volume",
            Self::Syslog => "host-syslog-volume",
            Self::MetricsCert => "metrics-cert-volume",
            Self::KernelDebug => "sys-kernel-debug-volume",
            Self::KernelSecurity => "sys-kernel-security-volume",
            Self::KernelTracing => "sys-kernel-tracing-volume",
            Self::Tmp => "tmp-volume",
            Self::Grpc => "grpc-server-volume",
            Self::Home => "home-volume",
            Self::Proc => "host-proc-volume",
            Self::JsonLog => "json-enricher-log-output-volume",
        }
    }

    fn source(self, context: Context<'_>) -> Value {
        match self {
            Self::Operator => created_dir(OPERATOR_DIR),
            Self::Kubelet => created_dir(&context.facts.kubelet_dir),
            // Only the policies: the other keys are configuration of the manager.
            Self::Profiles => json!({"configMap": {
                "name": names::PROFILES_CONFIG_MAP,
                "items": [item("selinuxd.cil"), item("selinuxrecording.cil")],
            }}),
            Self::SelinuxFs => dir("/sys/fs/selinux"),
            Self::SelinuxEtc => dir("/etc/selinux"),
            Self::SelinuxStore => dir("/var/lib/selinux"),
            Self::SelinuxTemplates => {
                let selinux = context.settings.selinux.as_ref();
                let name = selinux.and_then(|selinux| selinux.templates_config_map.as_ref());
                json!({"configMap": {"name": name}})
            }
            // A node without AppArmor is healthy, too: it offers less.
            Self::ApparmorEtc => created_dir("/etc/apparmor.d"),
            Self::AuditLog => created_dir("/var/log/audit"),
            Self::Syslog => created_dir("/var/log"),
            Self::MetricsCert => json!({"secret": {"secretName": names::METRICS_SECRET}}),
            Self::KernelDebug => dir("/sys/kernel/debug"),
            Self::KernelSecurity => dir("/sys/kernel/security"),
            Self::KernelTracing => dir("/sys/kernel/tracing"),
            Self::SelinuxDropDir | Self::SelinuxdPrivate | Self::Tmp | Self::Grpc | Self::Home => {
                json!({"emptyDir": {}})
            }
            Self::Proc => dir(context.settings.host_proc.as_deref().unwrap_or("/proc")),
            Self::JsonLog => {
                let volume = context.facts.json_log_volume.as_ref();
                volume.map_or_else(|| json!({"emptyDir": {}}), |(source, _)| source.clone())
            }
        }
    }
}

/// A directory which is there.
fn dir(path: &str) -> Value {
    json!({"hostPath": {"path": path, "type": "Directory"}})
}

/// A directory which the kubelet makes if it is not there.
fn created_dir(path: &str) -> Value {
    json!({"hostPath": {"path": path, "type": "DirectoryOrCreate"}})
}

fn item(key: &str) -> Value {
    json!({"key": key, "path": key})
}
