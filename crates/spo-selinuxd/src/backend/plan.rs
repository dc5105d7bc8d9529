//! Pure. What is known about every module, and what is to change in the store.
//!
//! A round is: [`Known::plan`] with what the drop directory and the store hold, the transactions,
//! [`Known::settle`] with what came of them, and [`Known::load`] with what the kernel says.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::module::{Digest, Module};
use super::output::Listing;
use super::search::{Change, Outcome};
use crate::status::PolicyStatus;

/// Of a file whose name a module of the node's own policy has, at another priority.
const TAKEN: &str = "the policy of this node has a module of this name, which would be replaced: give \
                     the profile another name";

/// The modules of the drop directory.
pub(crate) type Wanted = BTreeMap<String, Module>;

/// What is known about one module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Of the content which was tried last.
    digest: Digest,
    /// Why that content is not in the store. It stays out until the content changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// Whether what the store holds under this name was put there for a file of ours.
    ours: bool,
    /// Why it can not be removed.
    #[serde(skip)]
    stays: Option<String>,
    /// To be tried once more: something it may need was installed.
    #[serde(skip)]
    again: bool,
}

/// What is known about all modules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    records: BTreeMap<String, Record>,
    /// Modules which could not be tried yet, and why.
    #[serde(skip)]
    untried: BTreeMap<String, String>,
    /// What the kernel does not have although the store does, or the other way around.
    #[serde(skip)]
    kernel: BTreeMap<String, String>,
    /// Modules which were changed in the store since the kernel last loaded it.
    #[serde(skip)]
    unloaded: BTreeSet<String>,
    /// Modules which were removed and whose type the kernel must not know any more.
    #[serde(skip)]
    gone: BTreeSet<String>,
}

/// What the kernel should say about the type of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) module: String,
    pub(crate) known: bool,
}

impl Known {
    /// Takes in what the drop directory and the store hold; gives what to change in the store.
    pub(crate) fn plan(&mut self, wanted: &Wanted, store: &Listing) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, module) in wanted {
            if let Some(reason) = &module.refusal {
                let ours = self.records.get(name).is_some_and(|record| record.ours);
                let record = Record::failed(module, reason.clone(), ours);
                self.records.insert(name.clone(), record);
            } else if store.elsewhere.contains(name) && !store.modules.contains_key(name) {
                // Ours would have the higher priority: the node would lose its own.
                let record = Record::failed(module, TAKEN.to_owned(), false);
                self.records.insert(name.clone(), record);
            } else if self.is_to_install(name, module, store) {
                changes.push(Change::Install(name.clone()));
            }
        }
        self.records.retain(|name, record| {
            let keep =
                wanted.contains_key(name) || (record.ours && store.modules.contains_key(name));
            if keep && !wanted.contains_key(name) && (record.stays.is_none() || record.again) {
                changes.push(Change::Remove(name.clone()));
            }
            keep
        });
        changes
    }

    fn is_to_install(&mut self, name: &str, module: &Module, store: &Listing) -> bool {
        let in_store = holds(store, name, module);
        let was_taken = |record: &Record| record.failure.as_deref() == Some(TAKEN);
        if self.records.get(name).is_some_and(was_taken) {
            self.records.remove(name);
        }
        if in_store == Some(true) {
            // Also one which a predecessor installed that knew more than we do.
            self.records
                .insert(name.to_owned(), Record::installed(module));
            return false;
        }
        match self.records.get(name) {
            Some(record) if record.digest == module.digest => match record.failure {
                Some(_) => record.again,
                // What semodule can not tell is believed; what it tells is gone is put back.
                None => in_store == Some(false),
            },
            _ => true,
        }
    }

    /// Takes in what came of the changes, and what the store holds after them.
    pub(crate) fn settle(
        &mut self,
        wanted: &Wanted,
        outcomes: &BTreeMap<Change, Outcome>,
        store: &Listing,
    ) {
        for (change, outcome) in outcomes {
            let name = change.module();
            match (change, outcome, wanted.get(name)) {
                (Change::Install(_), outcome, Some(module)) => {
                    let record = self.tried(name, module, outcome, store);
                    if record.failure.is_none() {
                        self.unloaded.insert(name.to_owned());
                        self.gone.remove(name);
                    }
                    self.records.insert(name.to_owned(), record);
                }
                (Change::Install(_), _, None) => {}
                (Change::Remove(_), Ok(()), _) if !store.modules.contains_key(name) => {
                    self.records.remove(name);
                    self.unloaded.insert(name.to_owned());
                    if !store.elsewhere.contains(name) {
                        self.gone.insert(name.to_owned());
                    }
                }
                (Change::Remove(_), outcome, _) => {
                    let reason = outcome.as_ref().err().map_or(UNSEEN, String::as_str);
                    if let Some(record) = self.records.get_mut(name) {
                        record.stays = Some(format!("cannot be removed: {reason}"));
                        record.again = false;
                    }
                }
            }
        }
        self.try_again(wanted, outcomes);
    }

    fn tried(&self, name: &str, module: &Module, outcome: &Outcome, store: &Listing) -> Record {
        let ours = self.records.get(name).is_some_and(|record| record.ours);
        match (outcome, store.modules.get(name)) {
            (Ok(()), None) => Record::failed(module, UNSEEN.to_owned(), true),
            (Ok(()), Some(digest)) => {
                let mut record = Record::installed(module);
                // The file was written anew while semodule read it: the next round sees that.
                if let Some(digest) = digest.as_ref().filter(|_| module.is_cil) {
                    record.digest = digest.clone();
                }
                record
            }
            (Err(reason), None) => Record::failed(module, reason.clone(), ours),
            (Err(reason), Some(_)) => {
                let reason = format!("{reason} (an earlier version stays installed)");
                Record::failed(module, reason, ours)
            }
        }
    }

    /// Marks what may have failed only for lack of what is there now. Only success makes others
    /// try again, and it does not repeat, so that this ends.
    fn try_again(&mut self, wanted: &Wanted, outcomes: &BTreeMap<Change, Outcome>) {
        let through = || outcomes.iter().filter(|(_, outcome)| outcome.is_ok());
        let installed: Vec<&str> = through()
            .filter(|(change, _)| matches!(change, Change::Install(_)))
            .map(|(change, _)| change.module())
            .collect();
        let any = through().next().is_some();
        for (name, record) in &mut self.records {
            record.again = match (wanted.get(name), &record.failure) {
                (Some(module), Some(_)) => {
                    installed.iter().any(|installed| module.mentions(installed))
                }
                (None, _) => record.stays.is_some() && any,
                (Some(_), None) => false,
            };
        }
    }

    /// Whether something waits to be tried once more.
    pub(crate) fn is_restless(&self) -> bool {
        self.records.values().any(|record| record.again)
    }

    /// Says why the changes which have no outcome were not tried; `None`: nothing is in the way.
    pub(crate) fn hold_up(&mut self, changes: &[Change], trouble: Option<&str>) {
        self.untried.clear();
        for change in changes.iter().filter(|_| trouble.is_some()) {
            let reason = format!("not tried yet: {}", trouble.unwrap_or_default());
            self.untried.insert(change.module().to_owned(), reason);
        }
    }

    /// What the kernel should say about types, where a module makes one.
    pub(crate) fn expected(&self, wanted: &Wanted) -> Vec<Expected> {
        let in_store = wanted.iter().filter(|(name, module)| {
            let record = self.records.get(*name);
            let installed = record.is_some_and(|record| record.failure.is_none());
            installed && module.makes_process
        });
        let known = in_store.map(|(name, _)| Expected {
            module: name.clone(),
            known: true,
        });
        let unknown = self.gone.iter().map(|name| Expected {
            module: name.clone(),
            known: false,
        });
        known.chain(unknown).collect()
    }

    /// Whether the store was changed since the kernel loaded it.
    pub(crate) fn is_unloaded(&self) -> bool {
        !self.unloaded.is_empty()
    }

    /// Takes in that the kernel has loaded what the store holds, or why not.
    pub(crate) fn load(&mut self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.unloaded.clear();
                self.kernel.clear();
            }
            Err(reason) => {
                for name in &self.unloaded {
                    let is = if self.gone.contains(name) {
                        "removed from"
                    } else {
                        "in"
                    };
                    let text = format!(
                        "{is} the module store, but the kernel did not load the policy: {reason}"
                    );
                    self.kernel.insert(name.clone(), text);
                }
            }
        }
    }

    /// Takes in what the kernel says otherwise than expected.
    pub(crate) fn compare(&mut self, expected: &[Expected], otherwise: &BTreeSet<String>) {
        for expected in expected {
            let name = &expected.module;
            if !otherwise.contains(name) {
                self.gone.remove(name);
                if !self.unloaded.contains(name) {
                    self.kernel.remove(name);
                }
            } else if expected.known {
                let text = "in the module store, but the kernel does not know its type after the \
                            policy was loaded";
                self.kernel
                    .entry(name.clone())
                    .or_insert_with(|| text.to_owned());
            } else {
                let text = "removed from the module store, but the kernel still knows its type \
                            after the policy was loaded";
                self.kernel
                    .entry(name.clone())
                    .or_insert_with(|| text.to_owned());
            }
        }
    }

    /// Where there is no kernel to load into, nothing waits for it.
    pub(crate) fn no_kernel(&mut self) {
        self.unloaded.clear();
        self.gone.clear();
        self.kernel.clear();
    }

    /// What to tell whoever asks. A file whose content is new, or which is
    /// tried again, has no status until then.
    pub(crate) fn statuses(&self, wanted: &Wanted) -> BTreeMap<String, PolicyStatus> {
        let failed = |message: &String| PolicyStatus::Failed {
            message: message.clone(),
        };
        let mut statuses = BTreeMap::new();
        for (name, record) in &self.records {
            let module = wanted.get(name);
            if module.is_some_and(|module| module.digest != record.digest || record.again) {
                continue;
            }
            let problem = match module {
                Some(_) => record.failure.as_ref().or(self.kernel.get(name)),
                None => record.stays.as_ref().or(record.failure.as_ref()),
            };
            let status = problem.map_or(PolicyStatus::Installed, failed);
            statuses.insert(name.clone(), status);
        }
        let waiting = self.untried.iter().chain(&self.kernel);
        for (name, reason) in waiting {
            let untold = wanted.contains_key(name) || self.gone.contains(name);
            if untold && !statuses.contains_key(name) {
                statuses.insert(name.clone(), failed(reason));
            }
        }
        statuses
    }
}

impl Record {
    fn installed(module: &Module) -> Self {
        Self {
            digest: module.digest.clone(),
            failure: None,
            ours: true,
            stays: None,
            again: false,
        }
    }

    fn failed(module: &Module, failure: String, ours: bool) -> Self {
        Self {
            digest: module.digest.clone(),
            failure: Some(failure),
            ours,
            stays: None,
            again: false,
        }
    }
}

/// What is said when the store does not hold what it should.
const UNSEEN: &str = "semodule reported success, and the module store says otherwise";

/// Whether the store holds this content; `None`: semodule can not tell.
fn holds(store: &Listing, name: &str, module: &Module) -> Option<bool> {
    match store.modules.get(name) {
        None => Some(false),
        Some(None) => None,
        Some(Some(_)) if !module.is_cil => None,
        Some(Some(digest)) => Some(*digest == module.digest),
    }
}

#[cfg(test)]
mod tests;
