//! Gathers what the plan for a profile needs: a copy from the index, the disk, the kernel, and what
//! the parser makes of the text.

use spo_api::GROUP;
use spo_api::apparmor_profile::AppArmorProfileSpec;
use spo_api::seccomp_profile::DesiredState;
use spo_host::apparmor::{Mode, parser};
use spo_process::chain::chain;
use spo_profile::{apparmor, layout};

use super::index::{Index, KIND, Row, subject};
use super::memory::Key;
use super::node::OnNode;
use super::plan::{Compiled, Inputs, OnDisk, Profile, Wanted};
use crate::context::Context;
use crate::execute::About;
use crate::files::{Files, Found};
use crate::node_status::Owner;
use crate::profile::Reported;

/// What was copied out of the index.
pub(super) struct Snapshot {
    name: String,
    row: Option<Row>,
    pub(super) reported: Reported,
}

/// Copies what the index knows about a profile.
pub(super) fn snapshot(index: &Index, context: &Context, name: &str) -> Snapshot {
    let row = index.profile(name).cloned();
    let uid = row.as_ref().map(|row| row.uid.as_str());
    Snapshot {
        reported: index.reports.about(&subject(name), uid, &context.node.name),
        row,
        name: name.to_owned(),
    }
}

/// What the plan is about.
pub(super) fn about(snapshot: &Snapshot) -> About {
    let Snapshot {
        name,
        row,
        reported,
    } = snapshot;
    About {
        owner: Owner {
            api_version: format!("{GROUP}/v1"),
            kind: KIND.to_owned(),
            uid: row.as_ref().map(|row| row.uid.clone()).unwrap_or_default(),
            name: name.clone(),
        },
        reported: reported.statuses.contains(&reported.status_name),
        component: "apparmorprofile",
    }
}

/// Completes the inputs. `raw` says whether profiles with a policy are permitted.
pub(super) async fn fetch(snapshot: Snapshot, node: &OnNode, raw: bool) -> Inputs {
    let Snapshot {
        name,
        row,
        reported,
    } = snapshot;
    let file = layout::apparmor_file(&name).map_err(|error| error.to_string());
    let on_disk = match &file {
        Ok(file) => on_disk(&node.files, file).await,
        Err(_) => OnDisk::Absent,
    };
    let asked = name.clone();
    let kernel = node.kernel(move |kernel| kernel.loaded(&asked)).await;
    Inputs {
        file,
        on_disk,
        kernel: kernel.map_err(|error| chain(&error)),
        remembered: node.memory.get(&name),
        profile: row.map(|row| profile(&name, &row, &node.version, raw)),
        reported,
        name,
    }
}

async fn on_disk(files: &Files, file: &str) -> OnDisk {
    match files.read(file).await {
        Ok(Found::Absent) => OnDisk::Absent,
        Ok(Found::File(bytes)) => OnDisk::File(bytes),
        Ok(Found::Strange) => OnDisk::Strange,
        Err(error) => OnDisk::Unreadable(chain(&error)),
    }
}

fn profile(name: &str, row: &Row, parser: &str, raw: bool) -> Profile {
    let spec = row.spec.unpack();
    let state = spec.as_ref().map(|spec| spec.state);
    Profile {
        generation: row.generation,
        deletion: row.deletion,
        partial: row.partial,
        disabled: state == Ok(DesiredState::Disabled),
        in_use: row.in_use,
        wanted: match spec {
            Ok(spec) => wanted(name, &spec, parser, raw),
            Err(why) => Err(format!("spec is not a valid AppArmorProfile: {why}")),
        },
    }
}

fn wanted(
    name: &str,
    spec: &AppArmorProfileSpec,
    parser: &str,
    raw: bool,
) -> Result<Wanted, String> {
    let text = apparmor::check_raw(spec, raw).and_then(|()| apparmor::render(name, spec));
    let text = text.map_err(|refused| refused.to_string())?;
    Ok(Wanted {
        mode: Mode::parse(apparmor::mode(spec.mode)),
        key: Key::of(&text, parser),
        raw: spec.policy.is_some(),
        text,
    })
}

/// Compiles what the plan asks for. What an author wrote is asked for its names before: what
/// another profile is called by must not get near the kernel.
pub(super) async fn compile(name: &str, wanted: &Wanted, node: &OnNode) -> Compiled {
    if wanted.raw {
        let names = match node.parser.names(&wanted.text).await {
            Ok(names) => names.join("\n"),
            Err(error) => return failed(&error),
        };
        if let Err(refused) = apparmor::defines_only(name, &names) {
            return Compiled::Refused(refused.to_string());
        }
    }
    match node.parser.compile(&wanted.text).await {
        Ok(binary) => Compiled::Binary(binary),
        Err(error) => failed(&error),
    }
}

fn failed(error: &parser::Error) -> Compiled {
    let told = chain(error);
    match error {
        parser::Error::Syntax(_) | parser::Error::Slow { .. } | parser::Error::Big { .. } => {
            Compiled::Refused(format!("parsing profile: {told}"))
        }
        parser::Error::Run { .. } => Compiled::Failed(told),
    }
}
