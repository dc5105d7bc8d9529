//! Pure. From one batch of changes to as many transactions as it takes: what is good gets in, and
//! what is bad is found, mostly by what semodule says, at worst by halving the batch.

use std::collections::BTreeMap;

/// How many changes fit into one command line: a path may have 300 bytes, and all together at least
/// 2 MiB (ARG_MAX, a quarter of the limit of the stack).
const TOGETHER: usize = 2048;

/// One change of the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Install or replace the module of this name.
    Install(String),
    /// Remove the module of this name.
    Remove(String),
}

impl Change {
    pub(crate) fn module(&self) -> &str {
        match self {
            Self::Install(name) | Self::Remove(name) => name,
        }
    }
}

/// What to run next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// These changes in one transaction.
    Apply(Vec<Change>),
    /// A transaction without changes: whether the store is sound at all.
    Control,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The transaction is through.
    Applied,
    /// It failed, and the output names a module.
    Blamed {
        /// Of any batch, or of none: it may be one which was in the store before.
        module: String,
        /// What is wrong with it.
        message: String,
    },
    /// It failed, and the output names nobody.
    Unclear(String),
    /// It was not carried out: there is nothing to learn about the changes.
    Trouble(String),
}

/// What became of a change.
pub(crate) type Outcome = Result<(), String>;

/// The search through one batch.
#[derive(Debug)]
pub(crate) struct Search {
    /// Batches to try, the next one last.
    open: Vec<Vec<Change>>,
    /// What is being tried, and, during a control, why the batch failed.
    running: Option<(Vec<Change>, Option<String>)>,
    /// The store is sound, so that a failure is the doing of a change.
    sound: bool,
    outcomes: BTreeMap<Change, Outcome>,
    trouble: Option<String>,
}

impl Search {
    /// A search through these changes.
    pub(crate) fn new(changes: Vec<Change>) -> Self {
        let batches = changes.chunks(TOGETHER).rev();
        Self {
            open: batches.map(<[Change]>::to_vec).collect(),
            running: None,
            sound: false,
            outcomes: BTreeMap::new(),
            trouble: None,
        }
    }

    /// What to run next; `None` when everything is known that can be.
    pub(crate) fn next(&mut self) -> Option<Attempt> {
        if self.trouble.is_some() {
            return None;
        }
        if self.running.is_some() {
            return Some(Attempt::Control);
        }
        let batch = self.open.pop()?;
        self.running = Some((batch.clone(), None));
        Some(Attempt::Apply(batch))
    }

    /// Takes in what came of the attempt.
    pub(crate) fn learn(&mut self, verdict: Verdict) {
        let Some((batch, control)) = self.running.take() else {
            return;
        };
        if let Some(failure) = control {
            match verdict {
                Verdict::Applied => {
                    self.sound = true;
                    self.split(batch, failure);
                }
                Verdict::Trouble(message) => {
                    self.open.push(batch);
                    self.trouble = Some(message);
                }
                Verdict::Blamed { message, .. } | Verdict::Unclear(message) => {
                    self.open.push(batch);
                    self.trouble =
                        Some(format!("the policy of the node does not build: {message}"));
                }
            }
            return;
        }
        match verdict {
            Verdict::Applied => {
                let through = batch.into_iter().map(|change| (change, Ok(())));
                self.outcomes.extend(through);
            }
            Verdict::Blamed { module, message } => {
                let blamed = Change::Install(module.clone());
                if batch.contains(&blamed) {
                    let rest = batch.into_iter().filter(|change| *change != blamed);
                    self.push(rest.collect());
                    self.outcomes.insert(blamed, Err(message));
                } else {
                    // One which was in the store fails because of something in the batch.
                    self.failed(batch, format!("module {module} would fail: {message}"));
                }
            }
            Verdict::Unclear(message) => self.failed(batch, message),
            Verdict::Trouble(message) => {
                self.open.push(batch);
                self.trouble = Some(message);
            }
        }
    }

    /// What became of the changes, and why the others were not tried.
    pub(crate) fn end(self) -> (BTreeMap<Change, Outcome>, Option<String>) {
        (self.outcomes, self.trouble)
    }

    fn failed(&mut self, batch: Vec<Change>, failure: String) {
        if self.sound {
            self.split(batch, failure);
        } else {
            self.running = Some((batch, Some(failure)));
        }
    }

    fn split(&mut self, mut batch: Vec<Change>, failure: String) {
        if let [change] = &batch[..] {
            self.outcomes.insert(change.clone(), Err(failure));
            return;
        }
        // What is removed is tried by itself: what is installed must not wait for it.
        let (installs, removals): (Vec<_>, Vec<_>) = batch
            .iter()
            .cloned()
            .partition(|change| matches!(change, Change::Install(_)));
        if installs.is_empty() || removals.is_empty() {
            let second = batch.split_off(batch.len() / 2);
            self.push(second);
            self.push(batch);
        } else {
            self.push(removals);
            self.push(installs);
        }
    }

    fn push(&mut self, batch: Vec<Change>) {
        if !batch.is_empty() {
            self.open.push(batch);
        }
    }
}

#[cfg(test)]
mod tests;
