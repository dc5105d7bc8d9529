//! The only place that writes to the API server.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, Client};
use spo_process::chain::chain;
use tracing::debug;

use crate::reach;
use crate::step::{Part, Step, Target};

/// A write that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(15);
/// Who `managedFields` says has written. It is the name that upstream writes under, too.
pub const FIELD_MANAGER: &str = "security-profiles-operator";

/// A write that was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or could not be reached.
    #[error("cannot {step}")]
    Write {
        /// What was attempted.
        step: String,
        /// Why not.
        source: kube::Error,
    },
    /// No answer in time.
    #[error("cannot {step}: no answer within {DEADLINE:?}")]
    Deadline {
        /// What was attempted.
        step: String,
    },
}

/// Why a write was refused, as far as a caller acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There is no such object.
    NotFound,
    /// The object is there already.
    AlreadyExists,
    /// The object has changed since it was read.
    Conflict,
    /// There was no answer.
    Unreachable,
    /// Anything else.
    Other,
}

impl Error {
    /// What the caller can act on.
    pub fn cause(&self) -> Cause {
        if reach::is_unreachable(self) {
            return Cause::Unreachable;
        }
        let Error::Write {
            source: kube::Error::Api(status),
            ..
        } = self
        else {
            return Cause::Other;
        };
        match (status.code, status.reason.as_str()) {
            (404, _) => Cause::NotFound,
            (409, "AlreadyExists") => Cause::AlreadyExists,
            (409, _) => Cause::Conflict,
            _ => Cause::Other,
        }
    }
}

/// An error with its sources; and what to do, where the account lacks a permission.
pub fn advise(error: &(dyn std::error::Error + 'static)) -> String {
    let text = chain(error);
    if !is_forbidden(&text) {
        return text;
    }
    format!(
        "{text}: apply the roles that this version ships with (deploy/base), it is tried again on its \
         own"
    )
}

/// Quotas and policies forbid, too; only the authorizer speaks of the user.
fn is_forbidden(text: &str) -> bool {
    text.contains(" is forbidden: User ")
}

/// Does one write. Answers with the object as it is now, if the API server sent it.
pub async fn execute(client: &Client, step: &Step) -> Result<Option<DynamicObject>, Error> {
    debug!(%step, "execute");
    let written = tokio::time::timeout(DEADLINE, write(client, step)).await;
    match written {
        Ok(Ok(object)) => Ok(object),
        Ok(Err(source)) => Err(Error::Write {
            step: describe(step),
            source,
        }),
        Err(_elapsed) => Err(Error::Deadline {
            step: describe(step),
        }),
    }
}

async fn write(client: &Client, step: &Step) -> Result<Option<DynamicObject>, kube::Error> {
    match step {
        Step::Create { target, object } => {
            let object: DynamicObject =
                serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
            let params = PostParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PostParams::default()
            };
            api(client, target).create(&params, &object).await.map(Some)
        }
        Step::Patch {
            target,
            part,
            patch,
        } => {
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let patch = Patch::Merge(patch);
            let api = api(client, target);
            match part {
                Part::Object => api.patch(&target.name, &params, &patch).await,
                Part::Status => api.patch_status(&target.name, &params, &patch).await,
            }
            .map(Some)
        }
        Step::Apply { target, object } => {
            // Forced: a field that we render is ours, whoever wrote it last.
            let params = PatchParams::apply(FIELD_MANAGER).force();
            api(client, target)
                .patch(&target.name, &params, &Patch::Apply(object))
                .await
                .map(Some)
        }
        Step::Delete { target, uid } => {
            let preconditions = uid.as_ref().map(|uid| Preconditions {
                uid: Some(uid.clone()),
                ..Preconditions::default()
            });
            let params = DeleteParams {
                preconditions,
                ..DeleteParams::default()
            };
            api(client, target)
                .delete(&target.name, &params)
                .await
                .map(|deleted| deleted.left())
        }
        Step::DeleteAll { resource, labels } => {
            let selected = ListParams::default().labels(labels);
            Api::<DynamicObject>::all_with(client.clone(), resource)
                .delete_collection(&DeleteParams::default(), &selected)
                .await
                .map(|_deleted| None)
        }
        Step::Publish(event) => {
            let event = event.object(jiff::Timestamp::now());
            let namespace = event.metadata.namespace.clone().unwrap_or_default();
            Api::<Event>::namespaced(client.clone(), &namespace)
                .create(&PostParams::default(), &event)
                .await
                .map(|_event| None)
        }
    }
}

fn api(client: &Client, target: &Target) -> Api<DynamicObject> {
    match &target.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &target.resource),
        None => Api::all_with(client.clone(), &target.resource),
    }
}

/// A step without its content: errors are shown to people.
fn describe(step: &Step) -> String {
    match step {
        Step::Create { target, .. } => format!("create {target}"),
        Step::Apply { target, .. } => format!("apply {target}"),
        Step::Patch {
            target,
            part: Part::Object,
            ..
        } => format!("update {target}"),
        Step::Patch {
            target,
            part: Part::Status,
            ..
        } => format!("update the status of {target}"),
        Step::Delete { target, .. } => format!("delete {target}"),
        Step::DeleteAll { resource, labels } => {
            format!("delete every {} with {labels}", resource.kind)
        }
        Step::Publish(event) => format!("publish the event {}", event.reason),
    }
}
