//! A container of the pod, and what all of them have.

use serde_json::{Value, json};

use crate::Context;
use crate::settings::Profiling;

use super::volume::Mount;

/// The port of the first container; the others follow.
const FIRST_PROFILING_PORT: usize = 6060;

/// A container before the things are added which all have.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) name: &'static str,
    pub(crate) image: String,
    /// Absent means what the image starts.
    pub(crate) command: Option<Value>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<Value>,
    /// Ports and probes, as members of the container.
    pub(crate) health: Option<Health>,
    pub(crate) resources: Value,
    pub(crate) security: Value,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) profiled_by: ProfiledBy,
}

/// Where a container answers for its health.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) ports: Value,
    pub(crate) startup: Value,
    pub(crate) liveness: Value,
    pub(crate) readiness: Value,
}

/// How a container is told to serve profiles of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ProfiledBy {
    Environment,
    Argument(&'static str),
}

/// Where in the pod a container is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Init,
    /// With its index among its like.
    Main(usize),
}

impl Container {
    pub(crate) fn render(mut self, place: Place, context: Context<'_>) -> Value {
        self.env.push(env(
            "SPO_VERBOSITY",
            &context.settings.verbosity.to_string(),
        ));
        match (context.settings.profiling, place, self.profiled_by) {
            (Profiling::On, Place::Main(index), ProfiledBy::Environment) => {
                let port = FIRST_PROFILING_PORT + index;
                self.env.push(env("SPO_PROFILING", "true"));
                self.env.push(env("SPO_PROFILING_PORT", &port.to_string()));
            }
            (Profiling::On, Place::Main(_), ProfiledBy::Argument(argument)) => {
                self.args.push(argument.to_owned());
            }
            (Profiling::On, Place::Init, _) | (Profiling::Off, _, _) => {}
        }
        let mounts: Vec<Value> = self.mounts.iter().map(Mount::render).collect();
        let health = self.health.as_ref();
        json!({
            "name": self.name,
            "image": self.image,
            "imagePullPolicy": context.facts.image_pull_policy,
            "command": self.command,
            "args": self.args,
            "env": self.env,
            "ports": health.map(|health| &health.ports),
            "startupProbe": health.map(|health| &health.startup),
            "livenessProbe": health.map(|health| &health.liveness),
            "readinessProbe": health.map(|health| &health.readiness),
            "resources": self.resources,
            "securityContext": self.security,
            "volumeMounts": mounts,
        })
    }
}

/// A variable with a value.
pub(crate) fn env(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// A variable with a field of the pod.
pub(crate) fn env_field(name: &str, field: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}})
}

/// `NODE_NAME`, and the directory of the kubelet on the node.
pub(crate) fn node_env(context: Context<'_>) -> Vec<Value> {
    vec![
        env_field("NODE_NAME", "spec.nodeName"),
        kubelet_env(context),
    ]
}

/// The directory of the kubelet on the node.
pub(crate) fn kubelet_env(context: Context<'_>) -> Value {
    env("KUBELET_DIR", &context.facts.kubelet_dir)
}

/// The SELinux type of our containers.
pub(crate) fn type_tag(context: Context<'_>) -> Option<Value> {
    let tag = context.settings.type_tag.as_ref();
    tag.map(|tag| json!({"type": tag}))
}

/// What a container is promised and what it must not exceed. There is no limit on CPU: a daemon
/// that is throttled installs profiles late.
pub(crate) fn resources(requests: Amounts, memory: &str, storage: &str) -> Value {
    json!({
        "requests": {
            "memory": requests.memory,
            "cpu": requests.cpu,
            "ephemeral-storage": requests.storage,
        },
        "limits": {"memory": memory, "ephemeral-storage": storage},
    })
}

/// What a container is promised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    pub(crate) memory: &'static str,
    pub(crate) cpu: &'static str,
    pub(crate) storage: &'static str,
}
