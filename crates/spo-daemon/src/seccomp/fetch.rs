//! Gathers what the plan for a profile needs: copies from the index, then the disk and libseccomp.

use std::collections::BTreeMap;
use std::sync::Arc;

use spo_api::name::ProfileName;
use spo_api::seccomp_profile::held::PackedSpec;
use spo_api::{GROUP, meta};
use spo_process::chain::chain;
use spo_profile::layout;
use spo_profile::seccomp::check::Restrictions;
use spo_profile::seccomp::resolve::{BaseRef, Progress, Resolved, Resolver};

use super::index::{Index, KIND, Row};
use super::plan::{Inputs, OnDisk, Profile, Unresolved};
use crate::context::Context;
use crate::execute::About;
use crate::files::Found;
use crate::node_status::Owner;

/// What was copied out of the index.
pub(super) struct Snapshot {
    name: String,
    row: Option<Row>,
    chain: BTreeMap<String, Arc<PackedSpec>>,
    rival: Option<String>,
    restrictions: Arc<Restrictions>,
    report: Option<crate::profile::Report>,
    statuses: Vec<String>,
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
    let status_name = meta::node_status_name(KIND, name, &context.node.name);
    let report = index
        .statuses(name)
        .filter(|(status, said)| {
            *status == status_name && row.as_ref().is_some_and(|row| row.uid == said.owner_uid)
        })
        .find_map(|(_, said)| said.report.clone());
    Snapshot {
        row,
        chain: index.chain(name),
        rival: index.rival(name),
        restrictions: index.restrictions(&context.spod),
        report,
        statuses: index
            .statuses(name)
            .map(|(status, _)| status.to_owned())
            .collect(),
        last_known,
        name: name.to_owned(),
    }
}

/// Completes the inputs.
pub(super) async fn fetch(snapshot: Snapshot, context: &Context) -> (Inputs, About) {
    let Snapshot {
        name,
        row,
        chain,
        rival,
        restrictions,
        report,
        statuses,
        last_known,
    } = snapshot;
    let file = ProfileName::parse(&name)
        .map_err(|error| format!("metadata.name: {error}"))
        .and_then(|name| layout::seccomp_file(&name).map_err(|error| error.to_string()));
    let on_disk = match &file {
        Ok(file) => on_disk(context, file).await,
        Err(_) => OnDisk::Absent,
    };
    let status_name = meta::node_status_name(KIND, &name, &context.node.name);
    let owner = Owner {
        api_version: format!("{GROUP}/v1"),
        kind: KIND.to_owned(),
        uid: row.as_ref().map(|row| row.uid.clone()).unwrap_or_default(),
        name: name.clone(),
    };
    let about = About {
        owner,
        reported: statuses.contains(&status_name),
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
        report,
        status_name,
        statuses,
        unknown_syscalls,
        unsupported: context.seccomp_unsupported.clone(),
    };
    (inputs, about)
}

async fn on_disk(context: &Context, file: &str) -> OnDisk {
    match context.files.read(file).await {
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
