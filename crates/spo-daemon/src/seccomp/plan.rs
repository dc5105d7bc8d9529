//! Pure. What to do about one SeccompProfile on this node.

use std::collections::BTreeSet;
use std::fmt;

use spo_api::node_status::ProfileState;
use spo_api::seccomp_profile::{DesiredState, SeccompProfileSpec};
use spo_profile::seccomp::check::{self, Restrictions};
use spo_profile::seccomp::render;
use spo_profile::seccomp::resolve::{ResolveError, Resolved};
use spo_profile::seccomp::validate::{self, Severity};

use crate::profile::{Deletion, Operation, Report, Reported, Step as AnyStep};

/// What this mechanism does to the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Put a file in the operator directory.
    Write { file: String, bytes: Vec<u8> },
    /// Take a file out of the operator directory.
    Remove { file: String },
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Write { file, bytes } => write!(f, "write {file} {} B", bytes.len()),
            Effect::Remove { file } => write!(f, "remove {file}"),
        }
    }
}

type Step = AnyStep<Effect>;

/// Everything that the decision needs.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    /// The file of the profile; or why its name can not be the name of a file.
    pub(super) file: Result<String, String>,
    /// The profile; `None` if the object does not exist.
    pub(super) profile: Option<Profile>,
    /// The name of an older profile that the same file belongs to.
    pub(super) rival: Option<String>,
    pub(super) restrictions: Restrictions,
    pub(super) on_disk: OnDisk,
    /// The digest of what was last written to the file, or found there as it should be.
    pub(super) last_known: Option<[u8; 32]>,
    pub(super) reported: Reported,
    /// Syscalls of the resolved profile which no architecture of this node has.
    pub(super) unknown_syscalls: Vec<String>,
    /// Why the kernel can not load seccomp filters, if it can not.
    pub(super) unsupported: Option<String>,
}

/// The profile, as far as a node acts on it.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub(super) generation: Option<i64>,
    pub(super) deletion: Deletion,
    pub(super) partial: bool,
    /// Whether pods use it, as the manager counts.
    pub(super) in_use: bool,
    /// The spec with its base profiles; or why there is none.
    pub(super) resolved: Result<Resolved, Unresolved>,
}

/// Why there is no resolved spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// The object is not a valid v1 profile.
    Unreadable(String),
    /// A base profile is missing, or the chain of them has no end.
    Base(ResolveError),
    /// The base profile is an artifact, and there is no way to get it.
    Artifact(String),
}

/// What is at the place of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OnDisk {
    Absent,
    File(Vec<u8>),
    /// Something that we did not write like this: a symlink, a directory, far too big, another mode.
    Strange,
    /// The operator directory can not be read.
    Unreadable(String),
}

/// Plans. Total: a profile that may not be installed is a plan too.
pub(super) fn plan(inputs: &Inputs) -> Vec<Step> {
    let Some(profile) = &inputs.profile else {
        return gone(inputs);
    };
    let mut steps = match profile.deletion {
        Deletion::Undecided => Vec::new(),
        Deletion::HeldBack => inputs.reported.held_back(profile.generation),
        Deletion::Released => return released(inputs),
        Deletion::No => install(inputs, profile),
    };
    steps.extend(inputs.reported.withdraw_outdated());
    steps
}

/// The reasons that are public as event reasons and metric labels (contract 02a, 2.11).
pub(super) const CANNOT_SAVE: &str = "CannotSaveSeccompProfile";
pub(super) const CANNOT_REMOVE: &str = "CannotRemoveSeccompProfile";
pub(super) const CANNOT_UPDATE_STATUS: &str = "CannotUpdateNodeStatus";
const INVALID: &str = "InvalidSeccompProfile";
const CANNOT_PULL: &str = "CannotPullSeccompProfile";
const NOT_ALLOWED: &str = "ProfileNotAllowed";
const NOT_SUPPORTED: &str = "SeccompNotSupportedOnNode";
const UNKNOWN_SYSCALL: &str = "UnknownSyscall";
const DOUBTFUL: &str = "DoubtfulSeccompProfile";
const RESTORED: &str = "RestoredSeccompProfile";

/// The object is gone. Its file goes too, if an operator wrote it and no other profile claims it.
fn gone(inputs: &Inputs) -> Vec<Step> {
    let mut steps = Vec::new();
    if let (Ok(file), OnDisk::File(bytes), None) = (&inputs.file, &inputs.on_disk, &inputs.rival)
        && render::is_rendered(bytes)
    {
        steps.extend(remove(file));
    }
    // The garbage collector would delete the node statuses as well, later.
    steps.extend(inputs.reported.withdraw_all());
    steps
}

/// The file first: no living node may report a profile gone that is still there.
fn released(inputs: &Inputs) -> Vec<Step> {
    let mut steps = remove_if_present(inputs);
    steps.extend(inputs.reported.withdraw_all());
    steps
}

fn install(inputs: &Inputs, profile: &Profile) -> Vec<Step> {
    let error = |reason, message| inputs.reported.fail(profile.generation, reason, message);
    let file = match &inputs.file {
        Ok(file) => file,
        Err(message) => return error(INVALID, message.clone()),
    };
    if let Some(rival) = &inputs.rival {
        return error(
            INVALID,
            format!(
                "metadata.name: the file {file} belongs to the older SeccompProfile {rival:?}; \
                 give this profile another name"
            ),
        );
    }
    if let Some(why) = &inputs.unsupported {
        return error(NOT_SUPPORTED, why.clone());
    }
    let resolved = match &profile.resolved {
        Ok(resolved) => resolved,
        Err(Unresolved::Unreadable(why)) => {
            return error(
                INVALID,
                format!("spec is not a valid SeccompProfile: {why}"),
            );
        }
        Err(Unresolved::Base(why)) => return error(INVALID, why.to_string()),
        Err(Unresolved::Artifact(reference)) => {
            return error(
                CANNOT_PULL,
                format!(
                    "spec.baseProfileName: oci://{reference} can not be pulled: this version of \
                     the operator has no registry client; name a SeccompProfile of the cluster"
                ),
            );
        }
    };
    if resolved.spec.state == DesiredState::Disabled {
        return set_aside(inputs, profile, ProfileState::Disabled);
    }
    if profile.partial {
        return set_aside(inputs, profile, ProfileState::Partial);
    }
    if let Err(violation) = check::check(&resolved.spec, &inputs.restrictions) {
        // What may not be there goes before anybody is told that it is not there.
        let mut steps = remove_if_present(inputs);
        steps.extend(error(NOT_ALLOWED, violation.to_string()));
        return steps;
    }
    let problems = validate::validate(&resolved.spec);
    if let Some(problem) = problems
        .iter()
        .find(|problem| problem.severity == Severity::Error)
    {
        return error(INVALID, problem.to_string());
    }
    let mut steps = write_if_new(inputs, file, &resolved.spec);
    let warnings = warnings(inputs, &problems, &resolved.spec);
    steps.extend(inputs.reported.unless_said(Report {
        state: ProfileState::Installed,
        reason: warnings.as_ref().map(|(reason, _)| (*reason).to_owned()),
        message: warnings.map(|(_, message)| message),
        observed_generation: profile.generation,
    }));
    steps
}

fn write_if_new(inputs: &Inputs, file: &str, spec: &SeccompProfileSpec) -> Vec<Step> {
    let bytes = render::render(spec);
    if matches!(&inputs.on_disk, OnDisk::File(found) if *found == bytes) {
        return Vec::new();
    }
    let tampered = inputs.last_known == Some(render::digest(&bytes));
    let mut steps = vec![Step::Act(Effect::Write {
        file: file.to_owned(),
        bytes,
    })];
    steps.push(Step::CountOperation(Operation::Update));
    if tampered {
        let what = match inputs.on_disk {
            OnDisk::Absent => "was deleted",
            OnDisk::File(_) | OnDisk::Strange | OnDisk::Unreadable(_) => "was changed",
        };
        steps.push(Step::Publish {
            reason: RESTORED,
            message: format!("{file} {what} by somebody else and has been restored"),
        });
    }
    steps
}

/// A profile that is an object only. Its file stays while pods use it: they would not restart.
fn set_aside(inputs: &Inputs, profile: &Profile, state: ProfileState) -> Vec<Step> {
    let installed = inputs.on_disk != OnDisk::Absent;
    let keep = profile.in_use && installed;
    let mut steps = if keep {
        Vec::new()
    } else {
        remove_if_present(inputs)
    };
    steps.extend(inputs.reported.unless_said(Report {
        state,
        reason: None,
        message: keep.then(|| "the file is kept while pods use it".to_owned()),
        observed_generation: profile.generation,
    }));
    steps
}

/// What to do after a step on this node has failed: say so.
pub(super) fn after_failure(inputs: &Inputs, reason: &'static str, message: String) -> Vec<Step> {
    let profile = inputs.profile.as_ref();
    let profile = profile.map(|profile| (profile.generation, profile.deletion));
    inputs.reported.after_failure(profile, reason, message)
}

fn warnings(
    inputs: &Inputs,
    problems: &[validate::Problem],
    spec: &SeccompProfileSpec,
) -> Option<(&'static str, String)> {
    let mut texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if !inputs.unknown_syscalls.is_empty() {
        texts.insert(0, unknown_syscalls(spec, &inputs.unknown_syscalls));
    }
    let reason = if inputs.unknown_syscalls.is_empty() {
        DOUBTFUL
    } else {
        UNKNOWN_SYSCALL
    };
    (!texts.is_empty()).then(|| (reason, texts.join("; ")))
}

/// Most names that a message lists.
const NAMES_MAX: usize = 8;

fn unknown_syscalls(spec: &SeccompProfileSpec, unknown: &[String]) -> String {
    let unknown: BTreeSet<&str> = unknown.iter().map(String::as_str).collect();
    let mut places = Vec::new();
    for (rule, syscall) in spec.syscalls.iter().enumerate() {
        for name in syscall
            .names
            .iter()
            .filter(|name| unknown.contains(name.as_str()))
        {
            places.push(format!("spec.syscalls[{rule}].names: {name:?}"));
        }
    }
    let more = places.len().saturating_sub(NAMES_MAX);
    places.truncate(NAMES_MAX);
    let mut text = places.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text.push_str(
        ": not a system call of any architecture of this node, so runtimes skip it; correct the \
         name or remove it",
    );
    text
}

fn remove_if_present(inputs: &Inputs) -> Vec<Step> {
    match (&inputs.file, &inputs.rival) {
        (Ok(file), None) if inputs.on_disk != OnDisk::Absent => remove(file),
        _ => Vec::new(),
    }
}

fn remove(file: &str) -> Vec<Step> {
    vec![
        Step::Act(Effect::Remove {
            file: file.to_owned(),
        }),
        Step::CountOperation(Operation::Delete),
    ]
}

#[cfg(test)]
mod tests;
