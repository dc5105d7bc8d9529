//! The init container which prepares the node, so that the daemon needs no root.
//!
//! It sees two directories of the node and nothing else, each at its own path below `/host`:
//! the one of the kubelet, where it makes the link `seccomp/operator`, and the one with our
//! profiles, to which the link leads. `NODE_ROOT` names that folder, `KUBELET_DIR` the kubelet's
//! directory as the node sees it. With a kubelet in `/var/lib/kubelet`:
//!
//! ```text
//! /host/var/lib/kubelet
//! /host/var/lib/security-profiles-operator
//! ```
//!
//! That holds for any directory of the kubelet, and a kubelet below one of ours nests.

use serde_json::json;

use crate::Context;

use super::container::{Amounts, Container, ProfiledBy, env, node_env, resources, type_tag};
use super::volume::{Mount, OPERATOR_DIR, Volume};

/// Where the node is in the container.
const NODE_ROOT: &str = "/host";

pub(crate) fn non_root_enabler(context: Context<'_>) -> Container {
    let mut env_vars = node_env(context);
    env_vars.push(env("NODE_ROOT", NODE_ROOT));
    let below_root = |path: &str| format!("{NODE_ROOT}{path}");
    Container {
        name: "non-root-enabler",
        image: context.facts.image.clone(),
        command: None,
        args: vec!["non-root-enabler".to_owned()],
        env: env_vars,
        health: None,
        resources: resources(
            Amounts {
                memory: "32Mi",
                cpu: "100m",
                storage: "10Mi",
            },
            "64Mi",
            "50Mi",
        ),
        // It gives directories of root to somebody else.
        security: json!({
            "runAsUser": 0,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {
                "drop": ["ALL"],
                "add": ["CHOWN", "FOWNER", "FSETID", "DAC_OVERRIDE"],
            },
            "seLinuxOptions": type_tag(context),
        }),
        mounts: vec![
            Mount::write(Volume::Kubelet, below_root(&context.facts.kubelet_dir)),
            Mount::write(Volume::Operator, below_root(OPERATOR_DIR)),
        ],
        profiled_by: ProfiledBy::Environment,
    }
}
