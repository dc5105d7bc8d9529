//! Pure. What to do about one SelinuxProfile or RawSelinuxProfile on this node.
//!
//! A profile is installed in two moves: its file is put in place, and selinuxd, which compiles it, is
//! asked until it says how that went.

use std::fmt;

use spo_api::node_status::ProfileState;
use spo_api::seccomp_profile::DesiredState;
use spo_profile::seccomp::render;

use crate::profile::{Deletion, Operation, Report, Reported, Step as AnyStep, Subject};

/// What this mechanism does to the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Put a module into the directory of selinuxd.
    Write { file: String, text: String },
    /// Take a module out of there.
    Remove { file: String },
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Write { file, text } => write!(f, "write {file} {} B", text.len()),
            Effect::Remove { file } => write!(f, "remove {file}"),
        }
    }
}

type Step = AnyStep<Effect>;

/// Of the text of a module.
pub(super) type Digest = [u8; 32];

/// Everything that the decision needs.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    /// The name of the node, for messages.
    pub(super) node: String,
    /// The file of the profile; or why its name can not be the name of a module.
    pub(super) file: Result<String, String>,
    /// The profile; `None` if the object does not exist.
    pub(super) profile: Option<Profile>,
    /// An older profile of the same name and another kind.
    pub(super) rival: Option<Subject>,
    /// A profile that inherits this one and may be installed here.
    pub(super) child: Option<Subject>,
    pub(super) on_disk: OnDisk,
    /// The digest of what was last written to the file, or found there as it should be.
    pub(super) last_known: Option<Digest>,
    pub(super) reported: Reported,
    /// What selinuxd has said since the file was last changed.
    pub(super) answer: Answer,
    /// Whether this node offers SELinux.
    pub(super) available: bool,
}

/// The profile, as far as a node acts on it.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub(super) generation: Option<i64>,
    pub(super) deletion: Deletion,
    pub(super) partial: bool,
    /// Whether pods use it, as the manager counts.
    pub(super) in_use: bool,
    pub(super) state: DesiredState,
    /// The module; or why there is none.
    pub(super) module: Result<String, Refused>,
    /// What it inherits, if that is not installed here.
    pub(super) waits_for: Option<Subject>,
}

/// Why there is no module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// The profile is wrong in itself, or something that it needs is missing.
    Invalid(String),
    /// An administrator does not permit it.
    NotAllowed(String),
    /// What it says, an administrator does not permit to say.
    Denied(String),
}

/// What is at the place of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OnDisk {
    Absent,
    File {
        digest: Digest,
        /// Whether it looks like what an operator writes for a profile of this name.
        ours: bool,
    },
    /// Something that we did not write like this: a symlink, a directory, far too big, another mode.
    Strange,
    /// The directory can not be read.
    Unreadable(String),
}

/// What selinuxd says about a module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Answer {
    /// Nobody has asked yet.
    #[default]
    None,
    /// It can not be asked, for a while already.
    Unreachable(String),
    /// It knows no such module.
    Unknown,
    Installed,
    Failed(String),
}

/// What to do, and whether selinuxd is to be asked about the profile from now on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) ask: bool,
}

/// The reasons that are public as event reasons and metric labels (contract 02a, 3.3).
pub(super) const CANNOT_REMOVE: &str = "CannotRemoveSelinuxPolicy";
pub(super) const CANNOT_WRITE: &str = "CannotWritePolicyFile";
pub(super) const CANNOT_UPDATE_STATUS: &str = "CannotUpdatePolicyStatus";
const CANNOT_CONTACT: &str = "CannotContactSelinuxd";
const CANNOT_SAVE: &str = "CannotSaveSelinuxPolicy";
const RESTORED: &str = "RestoredSelinuxPolicy";

/// Plans. Total: a profile that may not be installed is a plan too.
pub(super) fn plan(inputs: &Inputs) -> Plan {
    if !inputs.available {
        // What was said when this node had SELinux is not true any more (decision 4).
        return quiet(inputs.reported.withdraw_all());
    }
    let Some(profile) = &inputs.profile else {
        return quiet(gone(inputs));
    };
    let mut plan = match profile.deletion {
        Deletion::Undecided => Plan::default(),
        Deletion::HeldBack => quiet(inputs.reported.held_back(profile.generation)),
        Deletion::Released => return released(inputs, profile),
        Deletion::No => install(inputs, profile),
    };
    plan.steps.extend(inputs.reported.withdraw_outdated());
    plan
}

fn quiet(steps: Vec<Step>) -> Plan {
    Plan { steps, ask: false }
}

fn asking(steps: Vec<Step>) -> Plan {
    Plan { steps, ask: true }
}

/// The object is gone. Its file goes too, if an operator wrote it and no other profile claims it.
fn gone(inputs: &Inputs) -> Vec<Step> {
    let mut steps = Vec::new();
    if let (Ok(file), OnDisk::File { ours: true, .. }, None) =
        (&inputs.file, &inputs.on_disk, &inputs.rival)
    {
        steps.extend(remove(file));
        steps.push(Step::CountOperation(Operation::Delete));
    }
    // The garbage collector would delete the node statuses as well, later.
    steps.extend(inputs.reported.withdraw_all());
    steps
}

/// The file first, then selinuxd: no living node may report a profile gone that the kernel still has.
fn released(inputs: &Inputs, profile: &Profile) -> Plan {
    let terminating = |reason: Option<&str>, message: String| {
        // Never a new object: with foreground deletion they go before the profile does.
        let Some(old) = &inputs.reported.report else {
            return Vec::new();
        };
        inputs.reported.unless_said(Report {
            state: ProfileState::Terminating,
            reason: reason.map(str::to_owned),
            message: Some(message),
            observed_generation: profile.generation.or(old.observed_generation),
        })
    };
    let done = || quiet(inputs.reported.withdraw_all());
    let (Ok(file), None) = (&inputs.file, &inputs.rival) else {
        // There was never a file of it.
        return done();
    };
    if let Some(child) = &inputs.child {
        return quiet(terminating(
            None,
            format!("kept while {child} inherits it; change or delete that one"),
        ));
    }
    // A removal which nobody sees is none.
    if let Answer::Unreachable(why) = &inputs.answer {
        let mut steps = terminating(Some(CANNOT_CONTACT), why.clone());
        if !steps.is_empty() {
            steps.push(Step::CountError {
                reason: CANNOT_CONTACT,
            });
        }
        return asking(steps);
    }
    if inputs.on_disk != OnDisk::Absent {
        if inputs.answer == Answer::None {
            let message = "waits for selinuxd".to_owned();
            return asking(terminating(None, message));
        }
        return asking(remove(file));
    }
    match &inputs.answer {
        Answer::None | Answer::Installed | Answer::Unreachable(_) => {
            asking(terminating(None, "selinuxd removes the policy".to_owned()))
        }
        Answer::Unknown => {
            let mut plan = quiet(vec![Step::CountOperation(Operation::Delete)]);
            plan.steps.extend(inputs.reported.withdraw_all());
            plan
        }
        Answer::Failed(why) => {
            // As upstream has it: the profile is let go, and what is left is told.
            let mut steps = vec![
                Step::Publish {
                    reason: CANNOT_REMOVE,
                    message: format!("Failed to remove profile: {why}"),
                },
                Step::CountError {
                    reason: CANNOT_REMOVE,
                },
            ];
            steps.extend(inputs.reported.withdraw_all());
            quiet(steps)
        }
    }
}

fn install(inputs: &Inputs, profile: &Profile) -> Plan {
    let node = &inputs.node;
    let invalid = |why: &str| {
        let message = format!("Profile failed validation on {node}: {why}");
        fail(inputs, profile, CANNOT_SAVE, message)
    };
    let file = match &inputs.file {
        Ok(file) => file,
        Err(why) => return invalid(why),
    };
    if let Some(rival) = &inputs.rival {
        return invalid(&format!(
            "metadata.name: the file {file} belongs to the older {rival}; create the profile under \
             another name"
        ));
    }
    let module = match &profile.module {
        Ok(module) => module,
        Err(Refused::Invalid(why)) => return invalid(why),
        Err(Refused::NotAllowed(why)) => {
            // What may not be there goes before anybody is told that it is not there.
            let mut plan = quiet(remove_if_present(inputs));
            plan.steps.extend(invalid(why).steps);
            return plan;
        }
        Err(Refused::Denied(why)) => {
            let mut plan = quiet(remove_if_present(inputs));
            let message = format!("creating policy file: {why}");
            let failed = fail(inputs, profile, CANNOT_WRITE, message);
            plan.steps.extend(failed.steps);
            return plan;
        }
    };
    if profile.state == DesiredState::Disabled {
        return set_aside(inputs, profile, ProfileState::Disabled);
    }
    if profile.partial {
        return set_aside(inputs, profile, ProfileState::Partial);
    }
    let digest = digest(module);
    if !matches!(&inputs.on_disk, OnDisk::File { digest: found, .. } if *found == digest) {
        return write(inputs, profile, file, module);
    }
    match &inputs.answer {
        // What was said of this generation still holds: selinuxd does not try a file twice.
        Answer::None if is_final(inputs, profile) => Plan::default(),
        Answer::None | Answer::Unknown => asking(in_progress(inputs, profile, None)),
        Answer::Unreachable(why) => {
            let mut plan = fail(inputs, profile, CANNOT_CONTACT, why.clone());
            plan.ask = true;
            plan
        }
        Answer::Installed => {
            let mut steps = inputs.reported.unless_said(Report {
                state: ProfileState::Installed,
                reason: None,
                message: None,
                observed_generation: profile.generation,
            });
            if !steps.is_empty() {
                steps.push(Step::CountOperation(Operation::Update));
            }
            quiet(steps)
        }
        Answer::Failed(why) => {
            let message = format!("Failed to save profile to disk on {node}: {}", hint(why));
            fail(inputs, profile, CANNOT_SAVE, message)
        }
    }
}

/// Whether selinuxd has had its say about this generation.
fn is_final(inputs: &Inputs, profile: &Profile) -> bool {
    inputs.reported.report.as_ref().is_some_and(|report| {
        let failed = report.reason.as_deref() == Some(CANNOT_SAVE)
            && report
                .message
                .as_deref()
                .is_some_and(|message| message.starts_with("Failed to save"));
        report.observed_generation == profile.generation
            && (report.state == ProfileState::Installed
                || (report.state == ProfileState::Error && failed))
    })
}

/// Upstream's selinuxd says only which file it could not install.
fn hint(why: &str) -> String {
    let why = why.trim();
    let why = if why.is_empty() {
        "no reason given"
    } else {
        why
    };
    if why.starts_with("cannot install module: ") && !why.contains('\n') {
        format!(
            "{why}; the log of the container selinuxd says why, most often that the node's policy \
             lacks a type, class or permission which the profile names"
        )
    } else {
        why.to_owned()
    }
}

fn write(inputs: &Inputs, profile: &Profile, file: &str, module: &str) -> Plan {
    if let Some(parent) = &profile.waits_for {
        // Without the block that it inherits it would fail, and selinuxd would not try again.
        let message = format!("waits until {parent}, which it inherits, is installed");
        return quiet(in_progress(inputs, profile, Some(message)));
    }
    let mut steps = vec![Step::Act(Effect::Write {
        file: file.to_owned(),
        text: module.to_owned(),
    })];
    steps.extend(in_progress(inputs, profile, None));
    if inputs.last_known == Some(digest(module)) {
        let what = match inputs.on_disk {
            OnDisk::Absent => "was deleted",
            OnDisk::File { .. } | OnDisk::Strange | OnDisk::Unreadable(_) => "was changed",
        };
        steps.push(Step::Publish {
            reason: RESTORED,
            message: format!("{file} {what} by somebody else and has been restored"),
        });
    }
    asking(steps)
}

fn in_progress(inputs: &Inputs, profile: &Profile, message: Option<String>) -> Vec<Step> {
    inputs.reported.unless_said(Report {
        state: ProfileState::InProgress,
        reason: None,
        message,
        observed_generation: profile.generation,
    })
}

/// An error, told once: to the users of the profile, too.
fn fail(inputs: &Inputs, profile: &Profile, reason: &'static str, message: String) -> Plan {
    let mut steps = inputs
        .reported
        .fail(profile.generation, reason, message.clone());
    if !steps.is_empty() {
        steps.push(Step::Publish { reason, message });
    }
    quiet(steps)
}

/// A profile that is an object only. Its policy stays while pods use it: their processes would be of
/// a type that does not exist.
fn set_aside(inputs: &Inputs, profile: &Profile, state: ProfileState) -> Plan {
    let keep = profile.in_use && inputs.on_disk != OnDisk::Absent;
    let mut steps = if keep {
        Vec::new()
    } else {
        remove_if_present(inputs)
    };
    steps.extend(inputs.reported.unless_said(Report {
        state,
        reason: None,
        message: keep.then(|| "the policy is kept while pods use it".to_owned()),
        observed_generation: profile.generation,
    }));
    quiet(steps)
}

/// What to do after a step on this node has failed: say so.
pub(super) fn after_failure(inputs: &Inputs, reason: &'static str, message: String) -> Vec<Step> {
    let profile = inputs.profile.as_ref();
    let profile = profile.map(|profile| (profile.generation, profile.deletion));
    inputs.reported.after_failure(profile, reason, message)
}

fn remove_if_present(inputs: &Inputs) -> Vec<Step> {
    match (&inputs.file, &inputs.rival) {
        (Ok(file), None) if inputs.on_disk != OnDisk::Absent => {
            let mut steps = remove(file);
            steps.push(Step::CountOperation(Operation::Delete));
            steps
        }
        _ => Vec::new(),
    }
}

fn remove(file: &str) -> Vec<Step> {
    vec![Step::Act(Effect::Remove {
        file: file.to_owned(),
    })]
}

/// To tell texts apart.
pub(super) fn digest(text: &str) -> Digest {
    render::digest(text.as_bytes())
}

#[cfg(test)]
mod tests;
