//! Gathers what the plan for a profile needs: copies from the index, then the disk and libseccomp.

use std::collections::BTreeMap;
use std::sync::Arc;

use spo_api::GROUP;
use spo_api::name::ProfileName;
use spo_api::seccomp_profile::held::PackedSpec;
use spo_process::chain::chain;
use spo_profile::layout;
use spo_profile::seccomp::check::Restrictions;
use spo_profile::seccomp::resolve::{BaseRef, Progress, Resolved, Resolver};

use super::index::{Index, KIND, Row, subject};
use super::plan::{Inputs, OnDisk, Profile, Unresolved};
use crate::context::Context;
use crate::execute::About;
use crate::files::{Files, Found};
use crate::node_status::Owner;
use crate::profile::Reported;

/// What was copied out of the index.
pub(super) struct Snapshot {
    name: String,
    row: Option<Row>,
    chain: BTreeMap<String, Arc<PackedSpec>>,
    rival: Option<String>,
    restrictions: Arc<Restrictions>,
    reported: Reported,
    last_known: Option<[u8; 32]>,
}

/// Copies what the index knows about a profile.
pub(super) fn snapshot(
    index: &Index,
    context: &Context,
    name: &str,
    last_known: Option<[u8; 32]>,
) -> Snapshot {
    let row = index.profile(name).cloned();
    let uid = row.as_ref().map(|row| row.uid.as_str());
    let reported = index.reports.about(&subject(name), uid, &context.node.name);
    Snapshot {
        row,
        chain: index.chain(name),
        rival: index.rival(name),
        restrictions: index.restrictions(&context.spod),
        reported,
        last_known,
        name: name.to_owned(),
    }
}

/// Completes the inputs.
pub(super) async fn fetch(
    snapshot: Snapshot,
    files: &Files,
    unsupported: Option<String>,
) -> (Inputs, About) {
    let Snapshot {
        name,
        row,
        chain,
        rival,
        restrictions,
        reported,
        last_known,
    } = snapshot;
    let file = ProfileName::parse(&name)
        .map_err(|error| format!("metadata.name: {error}"))
        .and_then(|name| layout::seccomp_file(&name).map_err(|error| error.to_string()));
    let on_disk = match &file {
        Ok(file) => on_disk(files, file).await,
        Err(_) => OnDisk::Absent,
    };
    let owner = Owner {
        api_version: format!("{GROUP}/v1"),
        kind: KIND.to_owned(),
        uid: row.as_ref().map(|row| row.uid.clone()).unwrap_or_default(),
        name: name.clone(),
    };
    let about = About {
        owner,
        reported: reported.statuses.contains(&reported.status_name),
        component: "profile",
    };
    let profile = row.map(|row| Profile {
        generation: row.generation,
        deletion: row.deletion,
        partial: row.partial,
        in_use: row.in_use,
        resolved: resolve(&name, &row, &chain),
    });
    let unknown_syscalls = unknown_syscalls(profile.as_ref()).await;
    let inputs = Inputs {
        file,
        profile,
        rival,
        restrictions: Restrictions::clone(&restrictions),
        on_disk,
        last_known,
        reported,
        unknown_syscalls,
        unsupported,
    };
    (inputs, about)
}

async fn on_disk(files: &Files, file: &str) -> OnDisk {
    match files.read(file).await {
        Ok(Found::Absent) => OnDisk::Absent,
        Ok(Found::File(bytes)) => OnDisk::File(bytes),
        Ok(Found::Strange) => OnDisk::Strange,
        Err(error) => OnDisk::Unreadable(chain(&error)),
    }
}

fn resolve(
    name: &str,
    row: &Row,
    chain: &BTreeMap<String, Arc<PackedSpec>>,
) -> Result<Resolved, Unresolved> {
    let spec = row.spec.unpack().map_err(Unresolved::Unreadable)?;
    let mut resolver = Resolver::new(name, spec);
    loop {
        match resolver.step() {
            Progress::Done(resolved) => return Ok(resolved),
            Progress::Failed(error) => return Err(Unresolved::Base(error)),
            Progress::Need(need) => {
                let base = match need.base() {
                    BaseRef::Local(base) => match chain.get(base) {
                        None => None,
                        Some(packed) => Some(packed.unpack().map_err(|why| {
                            Unresolved::Unreadable(format!("base profile {base:?}: {why}"))
                        })?),
                    },
                    BaseRef::Artifact(reference) => {
                        return Err(Unresolved::Artifact(reference.clone()));
                    }
                };
                resolver = need.answer(base);
            }
        }
    }
}

/// Asks libseccomp, which searches its tables by name: off the event loop.
async fn unknown_syscalls(profile: Option<&Profile>) -> Vec<String> {
    let Some(Profile {
        resolved: Ok(resolved),
        ..
    }) = profile
    else {
        return Vec::new();
    };
    let names: Vec<String> = resolved
        .spec
        .syscalls
        .iter()
        .flat_map(|syscall| &syscall.names)
        .cloned()
        .collect();
    let arches = resolved.spec.architectures.clone();
    let looked_up = tokio::task::spawn_blocking(move || {
        spo_host::seccomp::unknown_syscalls(names.iter().map(String::as_str), &arches)
    });
    // A panic in there would be a bug of ours; a warning less is the smaller harm.
    looked_up.await.unwrap_or_default()
}
