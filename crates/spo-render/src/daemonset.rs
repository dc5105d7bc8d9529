//! The pods on the nodes.
//!
//! Containers, their order, names, ports, environment and mounts are upstream's (contract 03, 4.5
//! and 4.6). What is different, here and in the files below:
//! - a volume exists if, and only if, a container mounts it (`volume.rs`), and `/` is not mounted;
//! - no container of ours is privileged: the ones that need root get single capabilities;
//! - all of our containers run under the seccomp profile of the runtime. Profiles of our own would
//!   be tighter, but this operator ships none yet, and a pod that names a file which is not on the
//!   node does not start;
//! - the SELinux type of the SPOD is not forced upon selinuxd, which has its own.

mod container;
mod daemon;
mod enabler;
mod observers;
mod selinux;
mod volume;

use serde_json::{Value, json};

use crate::facts::Platform;
use crate::object::{self, More};
use crate::{Context, names};

use container::{Container, Place};

/// Service account of the static manifests.
const SERVICE_ACCOUNT: &str = "spod";

/// The DaemonSet, which is called like the SPOD.
pub(crate) fn render(context: Context<'_>) -> Vec<Value> {
    let labels = || object::labels(&[("name", names::DAEMON)]);
    let annotations = match context.facts.platform {
        Platform::OpenShift => Some(json!({"openshift.io/scc": "privileged"})),
        Platform::Kubernetes => None,
    };
    vec![json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": object::namespaced(context.facts, context.name, More::default()),
        "spec": {
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": context.settings.max_unavailable},
            },
            "selector": {"matchLabels": labels()},
            "template": {
                "metadata": {"labels": labels(), "annotations": annotations},
                "spec": pod(context),
            },
        },
    })]
}

fn pod(context: Context<'_>) -> Value {
    let settings = context.settings;
    let init = init_containers(context);
    let main = containers(context);
    let volumes = volume::declare(init.iter().chain(&main), context);
    let render = |containers: Vec<Container>, place: fn(usize) -> Place| -> Vec<Value> {
        let rendered = containers.into_iter().enumerate();
        rendered
            .map(|(index, container)| container.render(place(index), context))
            .collect()
    };
    json!({
        "serviceAccountName": SERVICE_ACCOUNT,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "securityContext": {
            // Files in Secrets and sockets of containers that run as root belong to this group.
            "fsGroup": names::ROOTLESS,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        // Observers meet processes of the node in its records, by their ids on the node.
        "hostPID": settings.observes().then_some(true),
        "initContainers": render(init, |_| Place::Init),
        "containers": render(main, Place::Main),
        "volumes": volumes,
        "priorityClassName": settings.priority_class_name,
        "tolerations": settings.tolerations,
        "affinity": settings.affinity,
        "imagePullSecrets": settings.image_pull_secrets,
    })
}

/// The order is public.
fn init_containers(context: Context<'_>) -> Vec<Container> {
    let mut containers = vec![enabler::non_root_enabler(context)];
    if let Some(selinux) = &context.settings.selinux {
        containers.push(selinux::policies_copier(selinux, context));
    }
    containers
}

/// The order is public: the profiling port depends on it.
fn containers(context: Context<'_>) -> Vec<Container> {
    let settings = context.settings;
    let mut containers = vec![daemon::daemon(context)];
    if let Some(selinux) = &settings.selinux {
        containers.push(selinux::selinuxd(selinux, context));
    }
    if let Some(enricher) = &settings.log_enricher {
        containers.push(observers::log_enricher(enricher, context));
    }
    if let Some(recorder) = &settings.bpf_recorder {
        containers.push(observers::bpf_recorder(recorder, context));
    }
    if let Some(enricher) = &settings.json_enricher {
        containers.push(observers::json_enricher(enricher, context));
    }
    containers
}
