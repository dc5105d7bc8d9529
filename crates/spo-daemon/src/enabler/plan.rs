//! Pure. What has to be done to a node before the daemon can run on it without rights.

use spo_host::file::entry::Owner;
use spo_host::kubelet;
use spo_host::root::SEARCHABLE_MODE;
use spo_profile::layout::OPERATOR_DIR;

use crate::enabler::{DAEMON, Error, seccomp_dir};

/// What is on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Whether the kubelet's directory of profiles exists.
    pub(super) seccomp_dir: bool,
    /// The operator's own directory, if it exists.
    pub(super) operator: Option<OperatorDir>,
    /// What stands where the kubelet looks for it.
    pub(super) place: Place,
}

/// The operator's own directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OperatorDir {
    pub(super) mode: u32,
    pub(super) owner: Owner,
    /// The file which says where the kubelet's directory is.
    pub(super) remembered: Option<Vec<u8>>,
    /// Regular files which could be profiles: name, owner, and whether that is the only name.
    pub(super) profiles: Vec<(String, Owner, bool)>,
}

/// What stands where the kubelet looks for the operator's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Absent,
    /// It leads to the operator's directory.
    Ours,
    /// It leads elsewhere, or nowhere.
    Link(String),
    /// It is another directory with so many entries.
    Directory(usize),
    Strange,
}

/// One change to the node. Each can run twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    MakeSeccompDir,
    MakeOperatorDir,
    SetMode(u32),
    RemoveEmptyDir,
    Link,
    Remember,
    GiveFile(String),
    GiveDir,
}

/// What is done, in order, and which files are not touched on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) left_alone: Vec<String>,
}

/// Says what is missing. The directory is given away last: until then nobody else writes to it.
pub(super) fn plan(facts: &Facts, kubelet: &str) -> Result<Plan, Error> {
    let mut steps = Vec::new();
    let mut left_alone = Vec::new();
    let path = || format!("{}/{OPERATOR_DIR}", seccomp_dir(kubelet));
    if !facts.seccomp_dir {
        steps.push(Step::MakeSeccompDir);
    }
    let operator = facts.operator.as_ref();
    match operator {
        None => steps.push(Step::MakeOperatorDir),
        // Upstream makes it 0744, so that only root and the daemon can look up a profile. The
        // container runtime does that too, and it need not be root.
        Some(found) if found.mode != SEARCHABLE_MODE => steps.push(Step::SetMode(SEARCHABLE_MODE)),
        Some(_) => {}
    }
    match &facts.place {
        Place::Ours => {}
        Place::Absent => steps.push(Step::Link),
        Place::Directory(0) => steps.extend([Step::RemoveEmptyDir, Step::Link]),
        Place::Directory(entries) => {
            return Err(Error::FullDirectory {
                path: path(),
                entries: *entries,
            });
        }
        Place::Link(target) => {
            return Err(Error::WrongLink {
                path: path(),
                target: target.clone(),
            });
        }
        Place::Strange => return Err(Error::Strange { path: path() }),
    }
    let remembered = operator.and_then(|found| found.remembered.as_deref());
    if remembered != Some(&kubelet::config(kubelet)) {
        steps.push(Step::Remember);
    }
    for (name, owner, only_name) in operator.map_or(&[][..], |found| &found.profiles) {
        if *owner == DAEMON {
            continue;
        }
        // Files of an older daemon that ran as root.
        if *only_name {
            steps.push(Step::GiveFile(name.clone()));
        } else {
            left_alone.push(name.clone());
        }
    }
    if operator.is_none_or(|found| found.owner != DAEMON) {
        steps.push(Step::GiveDir);
    }
    Ok(Plan { steps, left_alone })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Owner = Owner { uid: 0, gid: 0 };

    /// A node where everything is as it should be.
    fn ready() -> (Facts, OperatorDir) {
        let operator = OperatorDir {
            mode: 0o755,
            owner: DAEMON,
            remembered: Some(br#"{"kubeletDir":"/var/lib/kubelet"}"#.to_vec()),
            profiles: vec![("web.json".to_owned(), DAEMON, true)],
        };
        let facts = Facts {
            seccomp_dir: true,
            operator: Some(operator.clone()),
            place: Place::Ours,
        };
        (facts, operator)
    }

    fn check(facts: &Facts, expected: &[Step]) {
        let plan = plan(facts, "/var/lib/kubelet").unwrap();
        assert_eq!(plan.steps, expected, "{facts:?}");
    }

    #[test]
    fn a_node_that_is_ready_is_left_as_it_is() {
        check(&ready().0, &[]);
    }

    #[test]
    fn an_empty_node_gets_everything() {
        let facts = Facts {
            seccomp_dir: false,
            operator: None,
            place: Place::Absent,
        };
        check(
            &facts,
            &[
                Step::MakeSeccompDir,
                Step::MakeOperatorDir,
                Step::Link,
                Step::Remember,
                Step::GiveDir,
            ],
        );
    }

    #[test]
    fn each_thing_that_is_missing_is_one_step() {
        let with = |change: fn(&mut OperatorDir), expected: &[Step]| {
            let (mut facts, mut operator) = ready();
            change(&mut operator);
            facts.operator = Some(operator);
            check(&facts, expected);
        };
        with(|found| found.mode = 0o744, &[Step::SetMode(0o755)]);
        with(|found| found.owner = ROOT, &[Step::GiveDir]);
        with(|found| found.remembered = None, &[Step::Remember]);
        // As upstream writes it for a label of the node.
        with(
            |found| found.remembered = Some(br#"{"kubeletDir":"var/lib/kubelet"}"#.to_vec()),
            &[Step::Remember],
        );
        with(
            |found| found.profiles.push(("old.json".to_owned(), ROOT, true)),
            &[Step::GiveFile("old.json".to_owned())],
        );
        let (mut facts, _) = ready();
        facts.place = Place::Directory(0);
        check(&facts, &[Step::RemoveEmptyDir, Step::Link]);
    }

    #[test]
    fn a_hard_link_is_left_alone_and_told() {
        let (mut facts, mut operator) = ready();
        operator.profiles = vec![("old.json".to_owned(), ROOT, false)];
        facts.operator = Some(operator);
        let plan = plan(&facts, "/var/lib/kubelet").unwrap();
        assert!(plan.steps.is_empty());
        assert_eq!(plan.left_alone, ["old.json"]);
    }

    #[test]
    fn what_would_split_the_profiles_is_an_error_with_its_fix() {
        let check = |place, expected: &str| {
            let (mut facts, _) = ready();
            facts.place = place;
            let error = plan(&facts, "/var/lib/kubelet").unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(
            Place::Directory(3),
            "/var/lib/kubelet/seccomp/operator is a directory with 3 entries, but the daemon \
             writes to /var/lib/security-profiles-operator: move what is needed there and remove \
             the directory",
        );
        check(
            Place::Link("/elsewhere".to_owned()),
            "/var/lib/kubelet/seccomp/operator is a link to \"/elsewhere\", but the daemon writes \
             to /var/lib/security-profiles-operator: remove the link",
        );
        check(
            Place::Strange,
            "/var/lib/kubelet/seccomp/operator is neither a directory nor a link to \
             /var/lib/security-profiles-operator: remove it",
        );
    }
}
