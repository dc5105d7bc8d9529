//! The container which installs profiles.

use serde_json::{Value, json};

use crate::settings::{Apparmor, Memory, Metrics, Settings};
use crate::{Context, names};

use super::container::{
    Amounts, Container, Health, ProfiledBy, env, env_field, kubelet_env, resources, type_tag,
};
use super::volume::{Mount, Volume};

/// Where caches which do not outlive the pod are written.
const HOME: &str = "/home";

pub(crate) fn daemon(context: Context<'_>) -> Container {
    let shipped = || {
        resources(
            Amounts {
                memory: "64Mi",
                cpu: "100m",
                storage: "50Mi",
            },
            "128Mi",
            "200Mi",
        )
    };
    let configured = context.settings.daemon_resources.clone();
    Container {
        name: names::OPERATOR,
        image: context.facts.image.clone(),
        command: None,
        args: args(context.settings),
        env: env_vars(context),
        health: Some(health()),
        resources: configured.unwrap_or_else(shipped),
        security: security(context),
        mounts: mounts(context),
        profiled_by: ProfiledBy::Environment,
    }
}

/// The order is public.
fn args(settings: &Settings) -> Vec<String> {
    let mut args = vec!["daemon".to_owned()];
    if let Some(selinux) = &settings.selinux {
        args.push("--with-selinux=true".to_owned());
        args.push(format!("--with-raw-selinux={}", selinux.raw_profiles));
    }
    args.push(format!("--with-recording={}", settings.observes()));
    match settings.apparmor {
        Apparmor::On => args.push("--with-apparmor=true".to_owned()),
        Apparmor::Off => {}
    }
    // Upstream's daemon knows no such argument, so it is only there where it says something.
    if settings.raw_apparmor {
        args.push("--with-raw-apparmor=true".to_owned());
    }
    match settings.memory {
        Memory::LabelledPods => args.push("--with-mem-optim=true".to_owned()),
        Memory::AllPods => {}
    }
    match settings.metrics {
        Metrics::Insecure => args.push("--with-insecure-metrics-access=true".to_owned()),
        Metrics::Secure => {}
    }
    args
}

fn env_vars(context: Context<'_>) -> Vec<Value> {
    let settings = context.settings;
    let mut vars = vec![
        env_field("NODE_NAME", "spec.nodeName"),
        env_field("OPERATOR_NAMESPACE", "metadata.namespace"),
        env("SPOD_NAME", context.name),
        kubelet_env(context),
        env("HOME", HOME),
        env_field("POD_NAME", "metadata.name"),
    ];
    let restricted = context.facts.restrict_to_namespace.as_ref();
    vars.extend(restricted.map(|namespace| env("RESTRICT_TO_NAMESPACE", namespace)));
    let running = [
        ("ENABLE_LOG_ENRICHER", settings.log_enricher.is_some()),
        ("ENABLE_BPF_RECORDER", settings.bpf_recorder.is_some()),
        ("ENABLE_JSON_ENRICHER", settings.json_enricher.is_some()),
    ];
    let running = running.iter().filter(|(_, runs)| *runs);
    vars.extend(running.map(|(name, _)| env(name, "true")));
    vars
}

fn health() -> Health {
    let probe = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": {"path": path, "port": names::HEALTH_PORT_NAME},
            "periodSeconds": period,
            "timeoutSeconds": 1,
            "failureThreshold": failures,
        })
    };
    Health {
        ports: json!([{
            "name": names::HEALTH_PORT_NAME,
            "containerPort": names::HEALTH_PORT,
            "protocol": "TCP",
        }]),
        // Half a minute to start, and then as long to come back: a loaded node is no reason to
        // restart a daemon.
        startup: probe("/healthz", 3, 10),
        liveness: probe("/healthz", 10, 3),
        readiness: probe("/readyz", 10, 3),
    }
}

fn security(context: Context<'_>) -> Value {
    match context.settings.apparmor {
        Apparmor::Off => json!({
            "runAsUser": names::ROOTLESS,
            "runAsGroup": names::ROOTLESS,
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seLinuxOptions": type_tag(context),
        }),
        // The kernel takes profiles from root with this capability; the others are for files of
        // root and of the rootless daemon that was here before. A runtime's own AppArmor profile
        // denies the securityfs through which profiles are loaded.
        Apparmor::On => json!({
            "runAsUser": 0,
            "runAsGroup": 0,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {
                "drop": ["ALL"],
                "add": ["MAC_ADMIN", "DAC_OVERRIDE", "CHOWN", "FOWNER"],
            },
            "appArmorProfile": {"type": "Unconfined"},
            "seLinuxOptions": type_tag(context),
        }),
    }
}

fn mounts(context: Context<'_>) -> Vec<Mount> {
    let profiles = format!("{}/seccomp/operator", context.facts.kubelet_dir);
    let mut mounts = vec![Mount::write(Volume::Operator, profiles)];
    if context.settings.selinux.is_some() {
        mounts.push(Mount::write(Volume::SelinuxDropDir, "/etc/selinux.d"));
        mounts.push(Mount::write(Volume::SelinuxdPrivate, "/var/run/selinuxd"));
    }
    match context.settings.apparmor {
        Apparmor::On => {
            mounts.push(Mount::write(Volume::KernelSecurity, "/sys/kernel/security"));
            mounts.push(Mount::write(Volume::ApparmorEtc, "/etc/apparmor.d"));
        }
        Apparmor::Off => {}
    }
    mounts.push(Mount::write(Volume::Grpc, "/var/run/grpc"));
    mounts.push(Mount::write(Volume::Home, HOME));
    mounts.push(Mount::write(Volume::Tmp, "/tmp"));
    match context.settings.metrics {
        Metrics::Secure => {
            mounts.push(Mount::read(Volume::MetricsCert, "/var/run/secrets/metrics"));
        }
        Metrics::Insecure => {}
    }
    mounts
}
