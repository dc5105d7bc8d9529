//! Runs a plan: each step by its adapter, in order, until one fails.

use kube::Client;
use kube::core::DynamicObject;
use spo_kube::event::{KubeEvent, Severity};
use spo_kube::execute::{Cause, execute as write};
use spo_kube::step;
use spo_process::chain::chain;
use tracing::{info, warn};

use crate::context::Context;
use crate::files;
use crate::node_status::{self, HeldNodeStatus, Owner};
use crate::profile::{Report, Step};

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file could not be written.
    #[error("cannot save profile")]
    Save(#[source] files::Error),
    /// A file could not be removed.
    #[error("cannot remove profile")]
    Remove(#[source] files::Error),
    /// The API server did not take a report.
    #[error("cannot report to the API server")]
    Report(#[source] spo_kube::execute::Error),
}

/// What a plan has changed at the API server.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) reported: Option<Box<HeldNodeStatus>>,
    pub(crate) withdrawn: Vec<String>,
}

/// The object that a plan is about.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) owner: Owner,
    /// Whether its node status exists already.
    pub(crate) reported: bool,
}

/// Runs the steps of a plan.
pub(crate) async fn execute(
    context: &Context,
    about: &About,
    steps: &[Step],
    changes: &mut Changes,
) -> Result<(), Error> {
    let name = &about.owner.name;
    for step in steps {
        match step {
            Step::Write { file, bytes } => {
                context
                    .files
                    .write(file, bytes.clone())
                    .await
                    .map_err(Error::Save)?;
                info!(profile = %name, %file, bytes = bytes.len(), "profile written");
            }
            Step::Remove { file } => {
                context.files.remove(file).await.map_err(Error::Remove)?;
                info!(profile = %name, %file, "profile removed");
            }
            Step::Report(report) => {
                let _permit = context.reports.acquire().await;
                changes.reported = report_to(context, about, report).await?.map(Box::new);
            }
            Step::Withdraw { name } => {
                let _permit = context.reports.acquire().await;
                withdraw(&context.client, name).await?;
                changes.withdrawn.push(name.clone());
            }
            Step::Publish { reason, message } => publish(context, about, reason, message).await,
            Step::CountOperation(operation) => context.metrics.count_operation(*operation),
            Step::CountError { reason } => {
                context.metrics.count_error(reason);
                warn!(profile = %name, %reason, "profile is not installed as asked");
            }
        }
    }
    Ok(())
}

/// Writes the report: once, unless the object turned out to be there, or not to be there.
async fn report_to(
    context: &Context,
    about: &About,
    report: &Report,
) -> Result<Option<HeldNodeStatus>, Error> {
    let attempt = |exists| {
        let step = node_status::write(&about.owner, &context.node.name, report, exists);
        async move { write(&context.client, &step).await }
    };
    let first = attempt(about.reported).await;
    let written = match first {
        Err(error) if error.cause() == Cause::AlreadyExists && !about.reported => {
            attempt(true).await
        }
        Err(error) if error.cause() == Cause::NotFound && about.reported => attempt(false).await,
        other => other,
    };
    written
        .map(|object| object.and_then(held))
        .map_err(Error::Report)
}

fn held(object: DynamicObject) -> Option<HeldNodeStatus> {
    let value = serde_json::to_value(object).ok()?;
    serde_json::from_value(value).ok()
}

async fn withdraw(client: &Client, name: &str) -> Result<(), Error> {
    match write(client, &node_status::withdraw(name)).await {
        Ok(_object) => Ok(()),
        Err(error) if error.cause() == Cause::NotFound => Ok(()),
        Err(error) => Err(Error::Report(error)),
    }
}

/// An event that could not be sent is told in the log and does not hold a profile back.
async fn publish(context: &Context, about: &About, reason: &'static str, message: &str) {
    let Owner {
        api_version,
        kind,
        name,
        uid,
    } = &about.owner;
    let event = KubeEvent {
        about: k8s_openapi::api::core::v1::ObjectReference {
            api_version: Some(api_version.clone()),
            kind: Some(kind.clone()),
            name: Some(name.clone()),
            uid: Some(uid.clone()),
            ..k8s_openapi::api::core::v1::ObjectReference::default()
        },
        severity: Severity::Warning,
        reason: reason.to_owned(),
        message: format!("on {}: {message}", context.node.name),
        component: "profile",
        node: Some(context.node.name.clone()),
    };
    if let Err(error) = write(&context.client, &step::Step::Publish(event)).await {
        warn!(profile = %name, %reason, %message, error = %chain(&error), "cannot publish");
    }
}
