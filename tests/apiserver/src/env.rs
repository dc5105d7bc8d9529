//! What `hack/test-apiserver` tells the tests.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A variable, or a panic that says how to come by it.
fn variable(name: &str) -> PathBuf {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => PathBuf::from(value),
        _ => panic!(
            "{name} is not set: these tests need a control plane and the built operator; \
             run them with hack/test-apiserver"
        ),
    }
}

/// The kubeconfig of the administrator.
pub fn kubeconfig() -> PathBuf {
    variable("KUBECONFIG")
}

/// The operator.
pub fn binary() -> PathBuf {
    variable("SPO_BINARY")
}

/// Where the API server logs who has written what.
pub fn audit_log() -> PathBuf {
    variable("SPO_AUDIT_LOG")
}

/// The folder of this repository.
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .canonicalize()
        .unwrap()
}

/// Runs kubectl as the administrator. The output; or what it complained about.
pub fn kubectl(args: &[&str]) -> Result<String, String> {
    run_kubectl(args).map(|(output, _)| output)
}

/// Runs kubectl as the administrator. What it shows besides its output: warnings, for one.
pub fn kubectl_warnings(args: &[&str]) -> Result<String, String> {
    run_kubectl(args).map(|(_, warnings)| warnings)
}

fn run_kubectl(args: &[&str]) -> Result<(String, String), String> {
    let output = Command::new(variable("KUBECTL"))
        .args(args)
        .env("KUBECONFIG", kubeconfig())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("kubectl: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok((text(&output.stdout), text(&output.stderr)))
    } else {
        Err(format!(
            "kubectl {}: {}",
            args.join(" "),
            text(&output.stderr)
        ))
    }
}
