//! Runs a plan: each step by its adapter, in order, until one fails.

use std::fmt::{Debug, Display};
use std::future::Future;

use kube::Client;
use kube::core::DynamicObject;
use spo_kube::event::{KubeEvent, Severity};
use spo_kube::execute::{Cause, execute as write};
use spo_kube::step;
use spo_process::chain::chain;
use tracing::{debug, error, info, warn};

use crate::context::Context;
use crate::metrics::Counters;
use crate::node_status::{self, HeldNodeStatus, Owner};
use crate::profile::{Report, Step};

/// What a mechanism does to the node.
pub(crate) trait Act: Send + Sync {
    /// What it does.
    type Effect: Display + Debug + Send + Sync;
    /// Why it could not.
    type Error: std::error::Error + Send + Sync + 'static;
    /// The reason of a report that was not taken (contract 02a, 2.11, 3.3 and 4.3).
    const CANNOT_REPORT: &'static str;

    /// Does it.
    fn act(
        &self,
        about: &About,
        effect: &Self::Effect,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The reason under which a failure is told and counted.
    fn reason(error: &Self::Error) -> &'static str;

    /// Where it counts.
    fn counters(&self) -> &Counters;
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
enum Error<E: std::error::Error + 'static> {
    /// The node could not be changed.
    #[error(transparent)]
    Act(E),
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
    /// Who speaks, in events.
    pub(crate) component: &'static str,
}

/// Runs the steps of a plan. Where one fails, runs what `after_failure` plans for its reason and its
/// text. Returns what has changed, and whether all steps were done.
pub(crate) async fn execute<A: Act>(
    actor: &A,
    context: &Context,
    about: &About,
    steps: &[Step<A::Effect>],
    after_failure: impl Fn(&'static str, String) -> Vec<Step<A::Effect>> + Send,
) -> (Changes, bool) {
    for step in steps {
        debug!(%step, "plan");
    }
    let mut changes = Changes::default();
    let Err(failure) = run(actor, context, about, steps, &mut changes).await else {
        return (changes, true);
    };
    error!(profile = %about.owner.name, error = %chain(&failure), "cannot reconcile");
    let tell = match &failure {
        Error::Act(error) => after_failure(A::reason(error), chain(&failure)),
        // What the API server did not take can not be told to it.
        Error::Report(_) => vec![Step::CountError {
            reason: A::CANNOT_REPORT,
        }],
    };
    if let Err(failure) = run(actor, context, about, &tell, &mut changes).await {
        error!(profile = %about.owner.name, error = %chain(&failure), "cannot report the failure");
    }
    (changes, false)
}

async fn run<A: Act>(
    actor: &A,
    context: &Context,
    about: &About,
    steps: &[Step<A::Effect>],
    changes: &mut Changes,
) -> Result<(), Error<A::Error>> {
    let name = &about.owner.name;
    for step in steps {
        match step {
            Step::Act(effect) => {
                actor.act(about, effect).await.map_err(Error::Act)?;
                info!(profile = %name, %effect, "node changed");
            }
            Step::Report(report) => {
                let _permit = context.reports.acquire().await;
                let written = report_to(context, about, report).await;
                changes.reported = written.map_err(Error::Report)?.map(Box::new);
            }
            Step::Withdraw { name } => {
                let _permit = context.reports.acquire().await;
                let withdrawn = withdraw(&context.client, name).await;
                withdrawn.map_err(Error::Report)?;
                changes.withdrawn.push(name.clone());
            }
            Step::Publish { reason, message } => publish(context, about, reason, message).await,
            Step::CountOperation(operation) => actor.counters().count_operation(*operation),
            Step::CountError { reason } => {
                actor.counters().count_error(name, reason);
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
) -> Result<Option<HeldNodeStatus>, spo_kube::execute::Error> {
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
    written.map(|object| object.and_then(held))
}

fn held(object: DynamicObject) -> Option<HeldNodeStatus> {
    let value = serde_json::to_value(object).ok()?;
    serde_json::from_value(value).ok()
}

async fn withdraw(client: &Client, name: &str) -> Result<(), spo_kube::execute::Error> {
    match write(client, &node_status::withdraw(name)).await {
        Err(error) if error.cause() != Cause::NotFound => Err(error),
        _ => Ok(()),
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
        component: about.component,
        node: Some(context.node.name.clone()),
    };
    if let Err(error) = write(&context.client, &step::Step::Publish(event)).await {
        warn!(profile = %name, %reason, %message, error = %chain(&error), "cannot publish");
    }
}
