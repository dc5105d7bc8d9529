//! Pure. What this node has reported, as its watch shows it, for the kinds of one mechanism.

use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use spo_api::meta;
use spo_kube::table::{Change, Table};

use crate::execute::Changes;
use crate::node_status::HeldNodeStatus;
use crate::profile::{Report, Reported, Subject, Touched};

/// A node status of ours.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    owner_uid: String,
    report: Option<Report>,
    version: u64,
}

/// The node statuses of this node about profiles of some kinds.
pub(crate) struct Reports {
    kinds: &'static [&'static str],
    /// By profile and name of the status.
    rows: Table<(Subject, String), Row>,
    /// The version at which a node status was deleted last.
    last_deletion: u64,
}

impl Reports {
    /// Nothing yet, of `kinds`.
    pub(crate) fn of(kinds: &'static [&'static str]) -> Self {
        Self {
            kinds,
            rows: Table::default(),
            last_deletion: 0,
        }
    }

    /// Takes an event about the node statuses of this node in.
    pub(crate) fn observe(&mut self, event: Event<HeldNodeStatus>) -> Touched {
        if let Event::Apply(status) | Event::InitApply(status) = &event
            && let Some((subject, _)) = status.subject()
            && let Some(known) = self.rows.get(&(subject, status.name_any()))
            && known.version > version(status)
        {
            // Our own write is newer than this echo of the one before.
            return Touched::none();
        }
        if let Event::Delete(status) = &event {
            self.last_deletion = self.last_deletion.max(version(status));
        }
        let kinds = self.kinds;
        let changes = self.rows.observe(event, |status| row(kinds, &status));
        let mut touched = Touched::none();
        for change in changes {
            match change {
                Change::Synced => touched.all = true,
                Change::Gone((profile, _), _) => {
                    touched.profiles.insert(profile);
                }
                Change::Set(key, old) => {
                    let new = self.rows.get(&key);
                    let says = |row: &Row| (row.owner_uid.clone(), row.report.clone());
                    if old.as_ref().map(says) != new.map(says) {
                        touched.profiles.insert(key.0);
                    }
                }
            }
        }
        touched
    }

    /// Puts in what a plan has changed about the reports of `profile`.
    pub(crate) fn learn(&mut self, profile: &Subject, changes: Changes) {
        for name in changes.withdrawn {
            let _change = self.rows.remove((profile.clone(), name));
        }
        if let Some(status) = changes.reported {
            self.reported(&status);
        }
    }

    /// Puts in what a write of ours has returned, unless the watch may have shown more since: a
    /// deletion must not be undone here.
    fn reported(&mut self, status: &HeldNodeStatus) {
        let (key, Some(row)) = row(self.kinds, status) else {
            return;
        };
        let known = self
            .rows
            .get(&key)
            .map_or(self.last_deletion, |known| known.version);
        if row.version > known {
            // The change needs no look: it is what was planned.
            let _change = self.rows.set(key, row);
        }
    }

    /// Whether absence means absence.
    pub(crate) fn synced(&self) -> bool {
        self.rows.synced()
    }

    /// Profiles about which this node has reported.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.rows.iter().map(|((profile, _), _)| profile)
    }

    /// What was reported about a profile, from the node `node`; `uid` is that of the object which is
    /// there, if one is.
    pub(crate) fn about(&self, profile: &Subject, uid: Option<&str>, node: &str) -> Reported {
        let status_name = meta::node_status_name(&profile.kind, &profile.name, node);
        // Few: a table of one node's statuses, ordered by profile.
        let rows = || {
            self.rows
                .range_from((profile.clone(), String::new()))
                .map_while(|((of, name), row)| (of == profile).then_some((name, row)))
        };
        let report = rows()
            .filter(|(name, row)| **name == status_name && uid == Some(&row.owner_uid))
            .find_map(|(_, row)| row.report.clone());
        Reported {
            report,
            statuses: rows().map(|(name, _)| name.clone()).collect(),
            status_name,
        }
    }
}

fn row(kinds: &[&str], status: &HeldNodeStatus) -> ((Subject, String), Option<Row>) {
    let name = status.name_any();
    match status.subject() {
        Some((subject, uid)) if kinds.contains(&subject.kind.as_str()) => {
            let row = Row {
                owner_uid: uid.to_owned(),
                report: status.report(),
                version: version(status),
            };
            ((subject, name), Some(row))
        }
        // About another kind, or the node itself.
        _ => {
            let nothing = Subject {
                kind: String::new(),
                name: String::new(),
            };
            ((nothing, name), None)
        }
    }
}

/// Resource versions are ordered numbers (KEP-5504).
fn version(status: &HeldNodeStatus) -> u64 {
    status
        .resource_version()
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(name: &str, version: u32, state: &str) -> HeldNodeStatus {
        serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "resourceVersion": version.to_string(),
                "ownerReferences": [{
                    "apiVersion": "security-profiles-operator.x-k8s.io/v1",
                    "kind": "SeccompProfile",
                    "name": "web", "uid": "uid-web", "controller": true,
                }],
            },
            "spec": {"nodeName": "node-1"},
            "status": {"status": state},
        }))
        .unwrap()
    }

    fn web() -> Subject {
        Subject {
            kind: "SeccompProfile".to_owned(),
            name: "web".to_owned(),
        }
    }

    fn said(reports: &Reports, uid: &str) -> Option<&'static str> {
        let reported = reports.about(&web(), Some(uid), "node-1");
        reported.report.map(|report| report.state.as_str())
    }

    fn wrote(status: HeldNodeStatus) -> Changes {
        Changes {
            reported: Some(Box::new(status)),
            withdrawn: Vec::new(),
        }
    }

    #[test]
    fn an_echo_that_is_older_than_our_own_write_is_no_change() {
        let name = meta::node_status_name("SeccompProfile", "web", "node-1");
        let mut reports = Reports::of(&["SeccompProfile"]);
        reports.observe(Event::Apply(status(&name, 1, "Pending")));
        reports.learn(&web(), wrote(status(&name, 3, "Installed")));
        assert_eq!(said(&reports, "uid-web"), Some("Installed"));
        let touched = reports.observe(Event::Apply(status(&name, 2, "Error")));
        assert_eq!(touched, Touched::none());
        assert_eq!(said(&reports, "uid-web"), Some("Installed"));
        // What somebody else has changed since is one.
        let touched = reports.observe(Event::Apply(status(&name, 4, "Pending")));
        assert!(touched.profiles.contains(&web()));
        assert_eq!(said(&reports, "uid-web"), Some("Pending"));
        // Of a profile that was deleted and made again it says nothing.
        assert_eq!(said(&reports, "uid-other"), None);
    }

    #[test]
    fn a_write_does_not_undo_a_deletion_that_came_after_it() {
        let name = meta::node_status_name("SeccompProfile", "web", "node-1");
        let mut reports = Reports::of(&["SeccompProfile"]);
        reports.observe(Event::Apply(status(&name, 1, "Pending")));
        let touched = reports.observe(Event::Delete(status(&name, 5, "Installed")));
        assert!(touched.profiles.contains(&web()));
        reports.learn(&web(), wrote(status(&name, 3, "Installed")));
        assert_eq!(said(&reports, "uid-web"), None);
        reports.learn(&web(), wrote(status(&name, 6, "Installed")));
        assert_eq!(said(&reports, "uid-web"), Some("Installed"));
    }

    #[test]
    fn statuses_of_other_kinds_are_not_held() {
        let name = meta::node_status_name("SeccompProfile", "web", "node-1");
        let mut reports = Reports::of(&["AppArmorProfile"]);
        let touched = reports.observe(Event::Apply(status(&name, 1, "Pending")));
        assert_eq!(touched, Touched::none());
        assert_eq!(reports.subjects().count(), 0);
    }
}
