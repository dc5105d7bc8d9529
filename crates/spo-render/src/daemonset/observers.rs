//! The containers which watch workloads: the enrichers and the recorder.
//!
//! They are root without its power: each gets the capabilities for what it reads. Sockets need no
//! CHOWN, because the volume they are in belongs to the group of the daemon.
//! The AppArmor profile of a runtime hides securityfs, tracefs and the details of processes outside
//! of containers, so that none applies, as in the privileged containers of upstream.

use serde_json::{Value, json};
use spo_api::spod::{JsonEnricherOptions, LogEnricherSource};

use crate::Context;
use crate::settings::{BpfRecorder, JsonEnricher, LogEnricher};

use super::container::{Amounts, Container, ProfiledBy, node_env, resources, type_tag};
use super::volume::{Mount, Volume};

/// Read records of the audit socket, files whatever their mode, and processes of others.
const READ_RECORDS: [&str; 3] = ["AUDIT_READ", "DAC_READ_SEARCH", "SYS_PTRACE"];
/// Load BPF programs, attach them, and lock memory for their maps on kernels that count it.
const RUN_BPF: [&str; 3] = ["BPF", "PERFMON", "SYS_RESOURCE"];

pub(crate) fn log_enricher(enricher: &LogEnricher, context: Context<'_>) -> Container {
    let LogEnricher { filters, source } = enricher;
    let mut args = vec!["log-enricher".to_owned()];
    args.extend(filters.as_deref().map(filters_arg));
    args.extend(source.map(|source| format!("--enricher-log-source={}", source_value(source))));
    let mut mounts = logs();
    let mut capabilities = READ_RECORDS.to_vec();
    match source {
        Some(LogEnricherSource::Bpf | LogEnricherSource::Auto) => {
            mounts.extend(tracing());
            capabilities.extend(RUN_BPF);
        }
        Some(LogEnricherSource::Auditd | LogEnricherSource::Netlink) | None => {}
    }
    mounts.push(Mount::write(Volume::Grpc, "/var/run/grpc"));
    mounts.extend(host_proc(context));
    observer(
        "log-enricher",
        args,
        enricher_resources(),
        &capabilities,
        mounts,
        context,
    )
}

pub(crate) fn bpf_recorder(recorder: &BpfRecorder, context: Context<'_>) -> Container {
    let BpfRecorder = recorder;
    let mut mounts = Vec::from(tracing());
    mounts.push(Mount::read(Volume::KernelSecurity, "/sys/kernel/security"));
    mounts.push(Mount::write(Volume::Tmp, "/tmp"));
    mounts.push(Mount::write(Volume::Grpc, "/var/run/grpc"));
    mounts.extend(host_proc(context));
    let capabilities = [&RUN_BPF[..], &["SYS_PTRACE", "DAC_READ_SEARCH"]].concat();
    observer(
        "bpf-recorder",
        vec!["bpf-recorder".to_owned()],
        resources(observer_amounts(), "128Mi", "20Mi"),
        &capabilities,
        mounts,
        context,
    )
}

pub(crate) fn json_enricher(enricher: &JsonEnricher, context: Context<'_>) -> Container {
    let JsonEnricher { filters, options } = enricher;
    let mut args = vec!["json-enricher".to_owned()];
    args.extend(filters.as_deref().map(filters_arg));
    args.extend(options_args(options));
    let mut mounts = logs();
    mounts.extend(tracing());
    mounts.extend(host_proc(context));
    let log = context.facts.json_log_volume.as_ref();
    mounts.extend(log.map(|(_, path)| Mount::write(Volume::JsonLog, path.as_str())));
    let capabilities = [READ_RECORDS, RUN_BPF].concat();
    observer(
        "json-enricher",
        args,
        enricher_resources(),
        &capabilities,
        mounts,
        context,
    )
}

fn observer(
    name: &'static str,
    args: Vec<String>,
    resources: Value,
    capabilities: &[&str],
    mounts: Vec<Mount>,
    context: Context<'_>,
) -> Container {
    Container {
        name,
        image: context.facts.image.clone(),
        command: None,
        args,
        env: node_env(context),
        health: None,
        resources,
        security: json!({
            "runAsUser": 0,
            "runAsGroup": 0,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": capabilities},
            "appArmorProfile": {"type": "Unconfined"},
            "seLinuxOptions": type_tag(context),
        }),
        mounts,
        profiled_by: ProfiledBy::Environment,
    }
}

fn filters_arg(filters: &str) -> String {
    format!("--enricher-filters-json={filters}")
}

fn source_value(source: LogEnricherSource) -> &'static str {
    match source {
        LogEnricherSource::Auditd => "Auditd",
        LogEnricherSource::Bpf => "Bpf",
        LogEnricherSource::Netlink => "Netlink",
        LogEnricherSource::Auto => "Auto",
    }
}

/// The order is public.
fn options_args(options: &JsonEnricherOptions) -> Vec<String> {
    let JsonEnricherOptions {
        audit_log_interval_seconds,
        audit_log_path,
        audit_log_max_size,
        audit_log_max_backups,
        audit_log_max_age,
    } = options;
    let numbers = [
        ("--audit-log-interval-seconds", audit_log_interval_seconds),
        ("--audit-log-maxage", audit_log_max_age),
        ("--audit-log-maxsize", audit_log_max_size),
        ("--audit-log-maxbackup", audit_log_max_backups),
    ];
    let numbers = numbers
        .iter()
        .filter_map(|(flag, value)| value.map(|value| format!("{flag}={value}")));
    let path = audit_log_path.as_ref();
    let path = path.map(|path| format!("--audit-log-path={path}"));
    numbers.chain(path).collect()
}

fn enricher_resources() -> Value {
    resources(observer_amounts(), "256Mi", "128Mi")
}

fn observer_amounts() -> Amounts {
    Amounts {
        memory: "64Mi",
        cpu: "50m",
        storage: "10Mi",
    }
}

fn logs() -> Vec<Mount> {
    vec![
        Mount::read(Volume::AuditLog, "/var/log/audit"),
        Mount::read(Volume::Syslog, "/var/log"),
    ]
}

/// Where tracepoints are looked up: the old place is the only one on some nodes.
fn tracing() -> [Mount; 2] {
    [
        Mount::read(Volume::KernelDebug, "/sys/kernel/debug"),
        Mount::read(Volume::KernelTracing, "/sys/kernel/tracing"),
    ]
}

fn host_proc(context: Context<'_>) -> Option<Mount> {
    let elsewhere = context.settings.host_proc.as_ref();
    elsewhere.map(|_| Mount::read(Volume::Proc, "/proc"))
}
