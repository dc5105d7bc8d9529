//! What the node says about itself: which mechanisms it offers, and why it lacks the others.
//!
//! Written once, after the first round over all profiles: from then on the manager expects this
//! node to have every profile (decision 4).

use k8s_openapi::api::core::v1;
use kube::Api;
use kube::ResourceExt as _;
use spo_kube::execute::{Cause, execute};
use spo_process::chain::chain;
use tracing::{info, warn};

use crate::context::Context;
use crate::node_status::{self, HeldNodeStatus, Node};

/// A node without an identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server could not be asked.
    #[error("cannot read node {name:?}: is NODE_NAME the name of a Node object?")]
    Read {
        /// The name.
        name: String,
        /// Why not.
        source: kube::Error,
    },
}

/// Finds the identity of the node.
pub(crate) async fn identify(client: &kube::Client, name: &str) -> Result<Node, Error> {
    let api: Api<v1::Node> = Api::all(client.clone());
    let node = api.get_metadata(name).await.map_err(|source| Error::Read {
        name: name.to_owned(),
        source,
    })?;
    Ok(Node {
        name: name.to_owned(),
        uid: node.uid().unwrap_or_default(),
    })
}

/// Makes the object that describes this node say what the node offers. Says whether it does.
pub(crate) async fn register(context: &Context) -> bool {
    // Again each time: a node that was deleted and made again has another identity.
    let node = match identify(&context.client, &context.node.name).await {
        Ok(node) => node,
        Err(error) => {
            warn!(error = %chain(&error), "cannot register the node");
            return false;
        }
    };
    let mechanisms = spo_host::probe::probe();
    let api: Api<HeldNodeStatus> = Api::all(context.client.clone());
    let name = node_status::node_object_name(&node.name);
    let old = match api.get_opt(&name).await {
        Ok(old) => old,
        Err(error) => {
            warn!(%error, "cannot read what this node has said about itself");
            return false;
        }
    };
    let owned = |old: &HeldNodeStatus| {
        old.owner_references()
            .iter()
            .any(|owner| owner.uid == node.uid)
    };
    if old
        .as_ref()
        .is_some_and(|old| old.mechanisms() == mechanisms && owned(old))
    {
        return true;
    }
    let step = node_status::write_node(&node, &mechanisms, old.is_some());
    match execute(&context.client, &step).await {
        Ok(_object) => {
            info!(node = %node.name, "node registered");
            true
        }
        Err(error) if error.cause() == Cause::NotFound => false,
        Err(error) => {
            warn!(error = %chain(&error), "cannot say what this node offers");
            false
        }
    }
}
