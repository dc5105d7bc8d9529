//! Pure. What to do about one AppArmorProfile on this node.

use std::fmt;

use spo_api::node_status::ProfileState;
use spo_host::apparmor::Mode;
use spo_host::apparmor::kernel::Loaded;
use spo_profile::apparmor;
use spo_profile::layout::APPARMOR_DIR;

use super::memory::{Key, Remembered};
use crate::profile::{Deletion, Operation, Report, Reported, Step as AnyStep};

/// What this mechanism does to the node.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Put a file in the directory of policies.
    Write { file: String, bytes: Vec<u8> },
    /// Load a profile, in the place of one of that name, and read it back.
    Load {
        profile: String,
        mode: Mode,
        key: Key,
        binary: Vec<u8>,
    },
    /// Take a profile out of the kernel, and look whether it is gone.
    Unload { profile: String },
    /// Take a file out of the directory of policies.
    Remove { file: String },
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Write { file, bytes } => write!(f, "write {file} {} B", bytes.len()),
            Effect::Load {
                profile,
                mode,
                binary,
                key: _,
            } => write!(f, "load {profile} ({mode}) {} B", binary.len()),
            Effect::Unload { profile } => write!(f, "unload {profile}"),
            Effect::Remove { file } => write!(f, "remove {file}"),
        }
    }
}

/// Without the bytes.
impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

type Step = AnyStep<Effect>;

/// Everything that the decision needs.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    /// Of the profile, for the kernel and for the API server.
    pub(super) name: String,
    /// The file of the profile; or why its name can not be the name of a file.
    pub(super) file: Result<String, String>,
    /// The profile; `None` if the object does not exist.
    pub(super) profile: Option<Profile>,
    pub(super) on_disk: OnDisk,
    /// What is loaded under the name; or why that can not be seen.
    pub(super) kernel: Result<Option<Loaded>, String>,
    /// What this node has loaded under the name.
    pub(super) remembered: Option<Remembered>,
    pub(super) reported: Reported,
}

/// The profile, as far as a node acts on it.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub(super) generation: Option<i64>,
    pub(super) deletion: Deletion,
    pub(super) partial: bool,
    pub(super) disabled: bool,
    /// Whether pods use it, as the manager counts.
    pub(super) in_use: bool,
    /// What to load; or why there is nothing.
    pub(super) wanted: Result<Wanted, String>,
}

/// What to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) text: String,
    pub(super) mode: Mode,
    pub(super) key: Key,
    /// Whether an author wrote the text, and the parser is asked what it defines.
    pub(super) raw: bool,
}

/// What is at the place of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OnDisk {
    Absent,
    File(Vec<u8>),
    /// Something that nobody's operator wrote like this: a link, a directory, far too big.
    Strange,
    /// The directory can not be read.
    Unreadable(String),
}

/// What came of the text, if it was to be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Compiled {
    /// What the kernel takes.
    Binary(Vec<u8>),
    /// The parser does not take the text, and never will.
    Refused(String),
    /// The parser could not be asked.
    Failed(String),
}

/// The reasons that are public as metric labels (contract 02a, 4.3).
pub(super) const CANNOT_LOAD: &str = "CannotLoadAppArmorProfile";
pub(super) const CANNOT_UNLOAD: &str = "CannotUnloadAppArmorProfile";
pub(super) const CANNOT_UPDATE_STATUS: &str = "CannotUpdateNodeStatus";
const RESTORED: &str = "RestoredAppArmorProfile";

/// The text that has to be compiled before there can be a plan. `None`: the plan needs none.
pub(super) fn to_compile(inputs: &Inputs) -> Option<&Wanted> {
    let profile = inputs.profile.as_ref()?;
    let wanted = profile.wanted.as_ref().ok()?;
    let acts = profile.deletion == Deletion::No && !profile.disabled && !profile.partial;
    let free = inputs.file.is_ok() && inputs.kernel.is_ok() && theirs(inputs).is_none();
    (acts && free && !is_loaded(inputs, wanted)).then_some(wanted)
}

/// Plans. `compiled` is what came of [`to_compile`].
pub(super) fn plan(inputs: &Inputs, compiled: Option<&Compiled>) -> Vec<Step> {
    let Some(profile) = &inputs.profile else {
        return released(inputs);
    };
    let mut steps = match profile.deletion {
        Deletion::Undecided => Vec::new(),
        Deletion::HeldBack => inputs.reported.held_back(profile.generation),
        Deletion::Released => return released(inputs),
        Deletion::No => install(inputs, profile, compiled),
    };
    steps.extend(inputs.reported.withdraw_outdated());
    steps
}

/// Whether to look again without a change: something could not be seen or run.
pub(super) fn is_unsure(inputs: &Inputs, compiled: Option<&Compiled>) -> bool {
    inputs.kernel.is_err()
        || matches!(inputs.on_disk, OnDisk::Unreadable(_))
        || matches!(compiled, Some(Compiled::Failed(_)))
}

/// What to do after a step on this node has failed: say so.
pub(super) fn after_failure(inputs: &Inputs, reason: &'static str, message: String) -> Vec<Step> {
    let profile = inputs.profile.as_ref();
    let profile = profile.map(|profile| (profile.generation, profile.deletion));
    inputs.reported.after_failure(profile, reason, message)
}

/// The kernel first: no living node may report a profile gone that still confines.
fn released(inputs: &Inputs) -> Vec<Step> {
    let mut steps = take_off(inputs);
    steps.extend(inputs.reported.withdraw_all());
    steps
}

fn install(inputs: &Inputs, profile: &Profile, compiled: Option<&Compiled>) -> Vec<Step> {
    let cannot_load = |why: &str| {
        let message = format!("cannot load profile into node: {why}");
        inputs
            .reported
            .fail(profile.generation, CANNOT_LOAD, message)
    };
    let file = match &inputs.file {
        Ok(file) => file,
        Err(why) => return cannot_load(why),
    };
    if profile.disabled {
        return set_aside(inputs, profile, ProfileState::Disabled);
    }
    if profile.partial {
        return set_aside(inputs, profile, ProfileState::Partial);
    }
    let wanted = match &profile.wanted {
        Ok(wanted) => wanted,
        Err(why) => return cannot_load(why),
    };
    if let Err(why) = &inputs.kernel {
        return cannot_load(&format!("cannot see what is loaded: {why}"));
    }
    if let Some(why) = theirs(inputs) {
        return cannot_load(&why);
    }
    let binary = match compiled {
        Some(Compiled::Binary(binary)) => Some(binary),
        Some(Compiled::Refused(why) | Compiled::Failed(why)) => return cannot_load(why),
        None => None,
    };
    let mut steps = Vec::new();
    if !matches!(&inputs.on_disk, OnDisk::File(found) if *found == wanted.text.as_bytes()) {
        steps.push(Step::Act(Effect::Write {
            file: file.clone(),
            bytes: wanted.text.clone().into_bytes(),
        }));
    }
    if let Some(binary) = binary {
        steps.push(Step::Act(Effect::Load {
            profile: inputs.name.clone(),
            mode: wanted.mode.clone(),
            key: wanted.key,
            binary: binary.clone(),
        }));
    }
    if !steps.is_empty() {
        steps.push(Step::CountOperation(Operation::Update));
        steps.extend(tell_if_restored(inputs, wanted, file));
    }
    steps.extend(inputs.reported.unless_said(Report {
        state: ProfileState::Installed,
        reason: None,
        message: None,
        observed_generation: profile.generation,
    }));
    steps
}

/// Told only if this very profile was there as it should be, since this boot.
fn tell_if_restored(inputs: &Inputs, wanted: &Wanted, file: &str) -> Option<Step> {
    let remembered = inputs.remembered?;
    if remembered.key != wanted.key || !remembered.this_boot {
        return None;
    }
    let name = &inputs.name;
    let what = match (&inputs.kernel, &inputs.on_disk) {
        (Ok(None), _) => format!("profile {name} was removed from the kernel"),
        (Ok(Some(_)), _) if !is_loaded(inputs, wanted) => {
            format!("profile {name} was changed in the kernel")
        }
        (_, OnDisk::Absent) => format!("{APPARMOR_DIR}/{file} was deleted"),
        _ => format!("{APPARMOR_DIR}/{file} was changed"),
    };
    Some(Step::Publish {
        reason: RESTORED,
        message: format!("{what} by somebody else and has been restored"),
    })
}

/// A profile that is an object only. It stays loaded while pods use it: they would not restart, and
/// those that run would not be confined.
fn set_aside(inputs: &Inputs, profile: &Profile, state: ProfileState) -> Vec<Step> {
    let mut steps = take_off(inputs);
    let keep = profile.in_use && !steps.is_empty();
    if keep {
        steps.clear();
    }
    steps.extend(inputs.reported.unless_said(Report {
        state,
        reason: None,
        message: keep.then(|| "the profile stays loaded while pods use it".to_owned()),
        observed_generation: profile.generation,
    }));
    steps
}

/// Takes away what is ours.
fn take_off(inputs: &Inputs) -> Vec<Step> {
    let mut steps = Vec::new();
    if is_ours(inputs) && inputs.kernel != Ok(None) {
        steps.push(Step::Act(Effect::Unload {
            profile: inputs.name.clone(),
        }));
    }
    if let (Ok(file), true) = (&inputs.file, has_header(&inputs.on_disk)) {
        steps.push(Step::Act(Effect::Remove { file: file.clone() }));
    }
    if !steps.is_empty() {
        steps.push(Step::CountOperation(Operation::Delete));
    }
    steps
}

/// Whether the kernel has what is wanted.
fn is_loaded(inputs: &Inputs, wanted: &Wanted) -> bool {
    let (Ok(Some(loaded)), Some(remembered)) = (&inputs.kernel, &inputs.remembered) else {
        return false;
    };
    loaded.mode == wanted.mode
        && remembered.key == wanted.key
        && match (loaded.digest, remembered.digest) {
            // The same content has the same digest, whoever loaded it.
            (Some(loaded), Some(remembered)) => loaded == remembered,
            // The kernel keeps none: the profile is taken for the one that was loaded last.
            (None, None) => remembered.this_boot,
            _ => false,
        }
}

/// Whether the profile of this name on this node is the operator's: it was loaded from here, or its
/// file says so, or this node has said that this very object is installed.
fn is_ours(inputs: &Inputs) -> bool {
    let installed = |report: &Report| report.state == ProfileState::Installed;
    inputs.remembered.is_some()
        || has_header(&inputs.on_disk)
        || inputs.reported.report.as_ref().is_some_and(installed)
}

fn has_header(on_disk: &OnDisk) -> bool {
    match on_disk {
        OnDisk::File(bytes) => std::str::from_utf8(bytes).is_ok_and(apparmor::is_ours),
        OnDisk::Absent | OnDisk::Strange | OnDisk::Unreadable(_) => false,
    }
}

/// Why the name is taken by somebody else.
fn theirs(inputs: &Inputs) -> Option<String> {
    if is_ours(inputs) {
        return None;
    }
    let name = &inputs.name;
    if let Ok(Some(loaded)) = &inputs.kernel {
        return Some(format!(
            "profile exists: somebody else has loaded a profile {name:?} ({}) on this node; give \
             the AppArmorProfile another name, or remove that profile from the node",
            loaded.mode
        ));
    }
    let file = inputs.file.as_deref().unwrap_or_default();
    match &inputs.on_disk {
        OnDisk::Absent => None,
        OnDisk::File(_) | OnDisk::Strange => Some(format!(
            "profile exists: {APPARMOR_DIR}/{file} of this node is somebody else's; give the \
             AppArmorProfile another name, or remove that file from the node"
        )),
        OnDisk::Unreadable(why) => Some(format!("cannot read {APPARMOR_DIR}/{file}: {why}")),
    }
}

#[cfg(test)]
mod tests;
