//! Asks selinuxd what became of modules: only while somebody waits for an answer, and less often the
//! longer it takes.
//!
//! selinuxd tells nobody when it is done. One round is one question whether it is there, one for the
//! names that it knows, and one for each of those that somebody waits for.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use spo_process::chain::chain;
use spo_selinuxd::client::Client;
use spo_selinuxd::status::PolicyStatus;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

/// Between two rounds, at first.
const ROUND_MIN: Duration = Duration::from_millis(250);
/// Between two rounds, at last.
const ROUND_MAX: Duration = Duration::from_secs(4);
/// How long selinuxd may be away before anybody is told: it starts and restarts beside the daemon.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions at once.
const QUESTIONS: usize = 8;

/// A module whose fate somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Want {
    /// Which change of its file the answer is to be about.
    pub(super) change: u64,
    /// Before that, selinuxd may not have seen the change and speak of what was there before.
    pub(super) not_before: Instant,
}

/// What is waited for, by the name of the module.
pub(super) type Wants = BTreeMap<String, Want>;

/// What came of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Round {
    /// selinuxd can not be asked.
    Unreachable(String),
    /// What it says, with the change that was asked about. `None`: it knows no such module.
    Answers(BTreeMap<String, (u64, Option<PolicyStatus>)>),
}

/// The rounds, without an end.
pub(super) fn rounds(client: Client, wants: Receiver<Wants>) -> impl Stream<Item = Round> + Send {
    let asker = Asker {
        client,
        wants,
        pause: ROUND_MIN,
        away_since: None,
        told: false,
    };
    futures::stream::unfold(asker, |mut asker| async move {
        let round = asker.next().await?;
        Some((round, asker))
    })
}

struct Asker {
    client: Client,
    wants: Receiver<Wants>,
    pause: Duration,
    /// Since when selinuxd can not be asked.
    away_since: Option<Instant>,
    told: bool,
}

impl Asker {
    /// The next round that has something to tell; `None` if nobody will ever wait again.
    async fn next(&mut self) -> Option<Round> {
        loop {
            let wants = self.due().await?;
            let answers = self.ask(&wants).await;
            self.pause = (self.pause * 2).min(ROUND_MAX);
            match answers {
                Ok(answers) => {
                    if self.told {
                        info!("selinuxd answers again");
                    }
                    (self.away_since, self.told) = (None, false);
                    return Some(Round::Answers(answers));
                }
                Err(why) => {
                    let since = *self.away_since.get_or_insert_with(Instant::now);
                    debug!(%why, "selinuxd can not be asked");
                    if since.elapsed() < PATIENCE {
                        continue;
                    }
                    if !self.told {
                        warn!(%why, "selinuxd can not be asked; trying again until it can");
                        self.told = true;
                    }
                    return Some(Round::Unreachable(why));
                }
            }
        }
    }

    /// Waits until there is something to ask: a pause after the last round, or less if something new
    /// is waited for.
    async fn due(&mut self) -> Option<Wants> {
        let mut known = self.wants.borrow_and_update().clone();
        let mut at = Instant::now() + self.pause;
        loop {
            let earliest = known.values().map(|want| want.not_before).min();
            tokio::select! {
                () = until(earliest.map(|earliest| earliest.max(at))) => {
                    let now = Instant::now();
                    known.retain(|_, want| want.not_before <= now);
                    return Some(known);
                }
                changed = self.wants.changed() => {
                    changed.ok()?;
                    let wants = self.wants.borrow_and_update().clone();
                    if wants.iter().any(|(name, want)| known.get(name) != Some(want)) {
                        self.pause = ROUND_MIN;
                        at = at.min(Instant::now() + ROUND_MIN);
                    }
                    known = wants;
                }
            }
        }
    }

    async fn ask(
        &self,
        wants: &Wants,
    ) -> Result<BTreeMap<String, (u64, Option<PolicyStatus>)>, String> {
        let text = |error: spo_selinuxd::client::Error| chain(&error);
        if !self.client.ready().await.map_err(text)? {
            return Err("selinuxd not yet up".to_owned());
        }
        let names = self.client.policies().await.map_err(text)?;
        let mut questions = Vec::new();
        for (name, want) in wants.clone() {
            let client = names.binary_search(&name).is_ok().then_some(&self.client);
            questions.push(async move {
                let status = match client {
                    Some(client) => client.policy(&name).await.map_err(text)?,
                    None => None,
                };
                Ok((name, (want.change, status)))
            });
        }
        let answers: Vec<Result<_, String>> = futures::stream::iter(questions)
            .buffer_unordered(QUESTIONS)
            .collect()
            .await;
        answers.into_iter().collect()
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
