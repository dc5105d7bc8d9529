//! Takes everything away that the operator has made, or was given: in the order in which the nodes
//! get rid of their files, too.
//!
//! Run by an administrator, once. `fetch` is `cluster.rs`, `plan.rs` decides, [`Uninstallation`]
//! writes. It can be run again at any time: it starts from what is there.

mod cluster;
mod plan;

use std::time::Duration;

use serde_json::json;
use spo_kube::execute::{Cause, execute};
use spo_kube::step::{Part, Step, Target};
use spo_process::chain::chain;
use tokio::time::Instant;

use cluster::{Cluster, definition_target, target, webhook_target};
use plan::{Object, Seen, Turn, Verdict, count, decide, why_held};

/// Where lines about what is done go.
pub(crate) type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// How often a wait looks.
const INTERVAL: Duration = Duration::from_millis(500);
/// A lease that nobody renews for so long is nobody's (its duration is 15 s). The clock of whoever
/// holds it is not trusted, only that it does not change.
const ABANDONED: Duration = Duration::from_secs(20);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The operator's namespace.
    pub namespace: String,
    /// How long each step waits for the operator or the API server.
    pub timeout: Duration,
    /// Delete our CustomResourceDefinitions, too.
    pub crds: bool,
    /// Only say what would be deleted.
    pub dry_run: bool,
    /// Delete also profiles that pods use.
    pub force: bool,
}

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no API server to speak to.
    #[error(transparent)]
    Client(#[from] spo_kube::client::Error),
    /// The cluster could not be looked at.
    #[error("cannot read {what}")]
    Read {
        /// What was to be read.
        what: String,
        /// Why not.
        source: kube::Error,
    },
    /// Objects that only a conversion webhook could read, in a run that changes nothing.
    #[error(
        "cannot read what is stored of {kind}, because nobody converts it: without --dry-run, \
         conversion is switched off"
    )]
    Convert {
        /// The kind.
        kind: String,
        /// What the API server says.
        source: kube::Error,
    },
    /// Something was refused.
    #[error(transparent)]
    Write(#[from] spo_kube::execute::Error),
}

/// Uninstalls, and tells every step to `say`. Whether nothing is left.
pub async fn run_uninstall(request: &Request, say: Say<'_>) -> Result<bool, Error> {
    let client = spo_kube::client::connect().await?;
    let uninstallation = Uninstallation {
        cluster: Cluster {
            client: &client,
            namespace: &request.namespace,
            dry_run: request.dry_run,
        },
        request,
        say,
    };
    uninstallation.run().await
}

struct Uninstallation<'a> {
    cluster: Cluster<'a>,
    request: &'a Request,
    say: Say<'a>,
}

impl Uninstallation<'_> {
    async fn run(&self) -> Result<bool, Error> {
        let say = self.say;
        let seen = self.cluster.look(say).await?;
        match decide(&seen, self.request) {
            Verdict::Nothing => {
                say("there is nothing to uninstall");
                return Ok(true);
            }
            Verdict::InUse(lines) => {
                lines.iter().for_each(|line| say(line));
                say(
                    "nothing was changed: end these pods first, or delete the profiles with --force",
                );
                return Ok(false);
            }
            Verdict::Go(lines) if self.request.dry_run => {
                lines
                    .iter()
                    .for_each(|line| say(&format!("would delete {line}")));
                return Ok(true);
            }
            Verdict::Go(_) => {}
        }
        self.delete_first(seen).await?;
        self.delete_configuration().await?;
        self.delete_webhooks().await?;
        self.delete_rest().await?;
        if self.request.crds {
            self.delete_definitions().await?;
        }
        let left = self
            .cluster
            .look_at_ours(say)
            .await?
            .left(self.request.crds);
        if left.is_empty() {
            say("nothing is left");
        } else {
            left.iter().for_each(|line| say(&format!("left: {line}")));
        }
        Ok(left.is_empty())
    }

    /// What users have made, while the daemons run: they have the files.
    async fn delete_first(&self, seen: Seen) -> Result<(), Error> {
        if seen.of(Turn::First).next().is_none() {
            return Ok(());
        }
        (self.say)(&format!("deleting {}", count(seen.of(Turn::First))));
        for object in seen.of(Turn::First) {
            self.delete(target(object)).await?;
        }
        // The operator would hold these for as long as the pods run.
        for object in seen.of(Turn::First) {
            if !seen.users_of(object).is_empty() {
                self.release(object, &why_held(object, &seen, true)).await;
            }
        }
        let operator_runs = self.wait_for_operator().await?;
        let seen = self.cluster.look(self.say).await?;
        for object in seen.of(Turn::First) {
            self.release(object, &why_held(object, &seen, operator_runs))
                .await;
        }
        if operator_runs {
            // Daemons that run notice, and remove the files of what was released here.
            self.wait("the nodes have removed their files", |seen| {
                !seen
                    .of(Turn::Report)
                    .any(|report| report.profile_id.is_some())
            })
            .await?;
        }
        Ok(())
    }

    /// Until the operator has let go of everything: whether there is one.
    async fn wait_for_operator(&self) -> Result<bool, Error> {
        let timeout = self.request.timeout;
        (self.say)(&format!(
            "waiting until the nodes have removed the files, at most {timeout:?}"
        ));
        let start = Instant::now();
        let mut lease = self.cluster.lease().await?;
        let mut renewed = start;
        loop {
            let seen = self.cluster.look_at_ours(self.say).await?;
            let held = |object: &Object| object.without_ours().is_some();
            if !seen.of(Turn::First).any(held) {
                return Ok(lease.is_some());
            }
            let now = self.cluster.lease().await?;
            if now != lease {
                (lease, renewed) = (now, Instant::now());
            }
            if lease.is_none() || renewed.elapsed() > ABANDONED {
                return Ok(false);
            }
            if start.elapsed() > timeout {
                return Ok(true);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// The SPODs. What belongs to them goes by the garbage collection.
    async fn delete_configuration(&self) -> Result<(), Error> {
        let seen = self.cluster.look_at_ours(self.say).await?;
        for spod in seen.of(Turn::Configuration) {
            (self.say)(&format!("deleting {spod}"));
            self.delete(target(spod)).await?;
        }
        self.wait(
            "the SPODs, their DaemonSets and the daemons are gone",
            |seen| {
                seen.of(Turn::Configuration).next().is_none()
                    && seen.daemon_sets.is_empty()
                    && seen.daemons.is_empty()
            },
        )
        .await
    }

    async fn delete_webhooks(&self) -> Result<(), Error> {
        let seen = self.cluster.look_at_ours(self.say).await?;
        for (kind, name) in seen.webhooks {
            (self.say)(&format!("deleting {kind} {name}"));
            self.delete(webhook_target((kind, name))).await?;
        }
        Ok(())
    }

    /// The reports of the nodes; and once more what could not be released, because a webhook that
    /// nobody serves any more was in the way.
    async fn delete_rest(&self) -> Result<(), Error> {
        let seen = self.cluster.look_at_ours(self.say).await?;
        if seen.of(Turn::Report).next().is_some() {
            (self.say)(&format!("deleting {}", count(seen.of(Turn::Report))));
        }
        for report in seen.of(Turn::Report) {
            self.delete(target(report)).await?;
        }
        for object in &seen.objects {
            self.release(object, "nobody has let go of it").await;
        }
        self.wait("everything is gone", |seen| {
            // What somebody else holds is not ours to wait for.
            seen.objects
                .iter()
                .all(|object| !object.finalizers.is_empty() && object.without_ours().is_none())
        })
        .await
    }

    async fn delete_definitions(&self) -> Result<(), Error> {
        let seen = self.cluster.look_at_ours(self.say).await?;
        for name in &seen.definitions {
            (self.say)(&format!("deleting CustomResourceDefinition {name}"));
            self.delete(definition_target(name)).await?;
        }
        self.wait("the definitions are gone", |seen| {
            seen.definitions.is_empty()
        })
        .await
    }

    async fn delete(&self, target: Target) -> Result<(), Error> {
        match execute(self.cluster.client, &Step::Delete { target, uid: None }).await {
            Err(error) if error.cause() == Cause::NotFound => Ok(()),
            other => Ok(other.map(|_object| ())?),
        }
    }

    /// Takes our finalizers and upstream's off an object. A failure is told: the next step looks
    /// again, and at the end what is left is named.
    async fn release(&self, object: &Object, why: &str) {
        let Some(kept) = object.without_ours() else {
            return;
        };
        (self.say)(&format!(
            "{object} is held: {why}; taking the finalizers away"
        ));
        let step = Step::Patch {
            target: target(object),
            part: Part::Object,
            // Also if it has changed meanwhile: nobody is to hold it any more.
            patch: json!({ "metadata": { "finalizers": kept } }),
        };
        match execute(self.cluster.client, &step).await {
            Err(error) if error.cause() != Cause::NotFound => {
                (self.say)(&chain(&error).to_string());
            }
            _ => {}
        }
    }

    /// Waits, at most the timeout; what is not so then shows at the end.
    async fn wait(&self, what: &str, done: impl Fn(&Seen) -> bool) -> Result<(), Error> {
        let start = Instant::now();
        loop {
            let seen = self.cluster.look_at_ours(self.say).await?;
            if done(&seen) {
                return Ok(());
            }
            if start.elapsed() > self.request.timeout {
                (self.say)(&format!("not within {:?}: {what}", self.request.timeout));
                return Ok(());
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
