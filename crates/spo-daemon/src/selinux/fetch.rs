//! Gathers what the plan for a profile needs: copies from the index, then the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spo_api::GROUP;
use spo_api::raw_selinux_profile::RawSelinuxProfileSpec;
use spo_api::seccomp_profile::DesiredState;
use spo_api::selinux_profile::SelinuxProfileSpec;
use spo_process::chain::chain;
use spo_profile::selinux::cil::{self, Refusal};
use spo_profile::selinux::inherit;
use spo_profile::selinux::name::{BadName, BlockName};
use spo_profile::selinux::raw;

use super::index::{Index, Row, Rules, Spec};
use super::plan::{Answer, Digest, Inputs, OnDisk, Profile, Refused, digest};
use crate::context::Context;
use crate::execute::About;
use crate::files::{Files, Found};
use crate::node_status::Owner;
use crate::profile::{Reported, Subject};

/// What was copied out of the index.
pub(super) struct Snapshot {
    subject: Subject,
    node: String,
    row: Option<Row>,
    rules: Arc<Rules>,
    /// What the SelinuxProfiles on the way up inherit.
    parents: BTreeMap<String, Option<String>>,
    /// Blocks which the profile inherits and which are those of a profile.
    known: BTreeSet<String>,
    rival: Option<Subject>,
    child: Option<Subject>,
    waits_for: Option<Subject>,
    reported: Reported,
    answer: Answer,
    last_known: Option<Digest>,
}

/// Copies what is known about a profile.
pub(super) fn snapshot(
    index: &Index,
    context: &Context,
    subject: &Subject,
    answer: Answer,
    last_known: Option<Digest>,
) -> Snapshot {
    let row = index.row(subject).cloned();
    let uid = row.as_ref().map(|row| row.uid.as_str());
    let node = context.node.name.as_str();
    let names = row.iter().flat_map(|row| &row.parents);
    let known = names.filter(|name| **name != subject.name && index.named(name).next().is_some());
    Snapshot {
        rules: index.rules(&context.spod),
        parents: parents(index, row.as_ref()),
        known: known.cloned().collect(),
        rival: index.rival(subject),
        child: index.installed_child(&subject.name, node),
        waits_for: row.as_ref().and_then(|row| index.waits_for(row, node)),
        reported: index.reports.about(subject, uid, node),
        answer,
        last_known,
        node: node.to_owned(),
        subject: subject.clone(),
        row,
    }
}

/// Up to the end of the chain, or around the loop once.
fn parents(index: &Index, row: Option<&Row>) -> BTreeMap<String, Option<String>> {
    let mut parents = BTreeMap::new();
    let mut next = row.and_then(|row| row.parents.first().cloned());
    while let Some(name) = next {
        let Some(parent) = index.parent_of(&name) else {
            break;
        };
        next = parent.clone();
        if parents.insert(name, parent).is_some() {
            break;
        }
    }
    parents
}

/// Completes the inputs. Without `files` the node does not offer SELinux.
pub(super) async fn fetch(snapshot: Snapshot, files: Option<&Files>) -> (Inputs, About) {
    let name = BlockName::parse(&snapshot.subject.name);
    let on_disk = match (&name, files) {
        (Ok(name), Some(files)) => on_disk(files, name, &snapshot.rules).await,
        _ => OnDisk::Absent,
    };
    let profile = snapshot
        .row
        .as_ref()
        .map(|row| profile(&snapshot, row, name.as_ref()));
    let Snapshot {
        subject,
        node,
        row,
        rival,
        child,
        reported,
        answer,
        last_known,
        ..
    } = snapshot;
    let about = About {
        owner: Owner {
            api_version: format!("{GROUP}/v1"),
            kind: subject.kind,
            name: subject.name,
            uid: row.map(|row| row.uid).unwrap_or_default(),
        },
        reported: reported.statuses.contains(&reported.status_name),
        component: "selinuxprofile",
    };
    let inputs = Inputs {
        node,
        file: name
            .map(|name| name.file())
            .map_err(|error| error.to_string()),
        profile,
        rival,
        child,
        on_disk,
        last_known,
        reported,
        answer,
        available: files.is_some(),
    };
    (inputs, about)
}

async fn on_disk(files: &Files, name: &BlockName, rules: &Rules) -> OnDisk {
    match files.read(&name.file()).await {
        Ok(Found::Absent) => OnDisk::Absent,
        Ok(Found::Strange) => OnDisk::Strange,
        Ok(Found::File(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => OnDisk::File {
                digest: digest(&text),
                ours: is_ours(name, &text, rules),
            },
            Err(_) => OnDisk::Strange,
        },
        Err(error) => OnDisk::Unreadable(chain(&error)),
    }
}

/// Whether an operator writes such a file for a profile of this name.
fn is_ours(name: &BlockName, text: &str, rules: &Rules) -> bool {
    let rendered = cil::parse::parse(text, &rules.limits);
    rendered.is_ok_and(|(block, _)| block == *name) || raw::is_wrapped(name, text)
}

fn profile(snapshot: &Snapshot, row: &Row, name: Result<&BlockName, &BadName>) -> Profile {
    let (state, module) = match &*row.spec {
        Spec::Profile(spec) => match spec.unpack() {
            Ok(spec) => (spec.state, of_profile(snapshot, &spec, name)),
            Err(why) => unreadable("SelinuxProfile", &why),
        },
        Spec::Raw(spec) => match spec.unpack() {
            Ok(spec) => (spec.state, of_raw(snapshot, &spec, name)),
            Err(why) => unreadable("RawSelinuxProfile", &why),
        },
    };
    Profile {
        generation: row.generation,
        deletion: row.deletion,
        partial: row.partial,
        in_use: row.in_use,
        state,
        module,
        waits_for: snapshot.waits_for.clone(),
    }
}

fn unreadable(kind: &str, why: &str) -> (DesiredState, Result<String, Refused>) {
    let why = format!("spec is not a valid {kind}: {why}");
    (DesiredState::default(), Err(Refused::Invalid(why)))
}

/// The name, unless an administrator has given it to a policy of the node.
fn usable<'a>(
    snapshot: &Snapshot,
    name: Result<&'a BlockName, &BadName>,
) -> Result<&'a BlockName, Refused> {
    let invalid = |error: &BadName| Refused::Invalid(error.to_string());
    let name = name.map_err(invalid)?;
    if snapshot.rules.limits.permits_system(name.as_str()) {
        return Err(invalid(&BadName::Taken(name.to_string())));
    }
    Ok(name)
}

fn of_profile(
    snapshot: &Snapshot,
    spec: &SelinuxProfileSpec,
    name: Result<&BlockName, &BadName>,
) -> Result<String, Refused> {
    let name = usable(snapshot, name)?;
    let limits = &snapshot.rules.limits;
    let parent_of = |name: &str| snapshot.parents.get(name).cloned();
    inherit::resolve(name.as_str(), spec, limits, &parent_of)
        .map_err(|error| Refused::Invalid(chain(&error)))?;
    cil::render(name, spec, limits).map_err(|refusal| {
        let why = refusal.to_string();
        match refusal {
            Refusal::System { .. } => Refused::NotAllowed(why),
            Refusal::Denied { .. } | Refusal::All { .. } => Refused::Denied(why),
            Refusal::Inherit { .. }
            | Refusal::Label(_)
            | Refusal::Class { .. }
            | Refusal::Permission { .. } => Refused::Invalid(why),
        }
    })
}

fn of_raw(
    snapshot: &Snapshot,
    spec: &RawSelinuxProfileSpec,
    name: Result<&BlockName, &BadName>,
) -> Result<String, Refused> {
    let name = usable(snapshot, name)?;
    if !snapshot.rules.raw {
        return Err(Refused::NotAllowed(
            "RawSelinuxProfiles are switched off: set spec.selinux.enableRawSelinuxProfiles of the \
             SecurityProfilesOperatorDaemon, or write a SelinuxProfile"
                .to_owned(),
        ));
    }
    let policy = spec.policy.as_deref().unwrap_or_default();
    let limits = &snapshot.rules.limits;
    let allowed = |block: &str| limits.permits_system(block) || snapshot.known.contains(block);
    match raw::check(policy, &allowed) {
        Ok(()) => Ok(raw::wrap(name, policy)),
        Err(refusal) => Err(Refused::Invalid(match refusal {
            raw::Refusal::Inherit(_) => {
                let system: Vec<&str> = limits.system_profiles().collect();
                format!(
                    "spec.policy: {refusal}; allowed are other profiles and those of \
                     allowedSystemProfiles: {}",
                    system.join(", ")
                )
            }
            _ => format!("spec.policy: {refusal}"),
        })),
    }
}
