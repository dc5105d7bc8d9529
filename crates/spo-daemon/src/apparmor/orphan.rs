//! Profiles of AppArmorProfiles which were deleted while no daemon was running here.

use std::collections::BTreeSet;

use spo_api::name::ProfileName;
use spo_process::chain::chain;
use spo_profile::apparmor;
use tracing::warn;

use super::node::OnNode;
use crate::files::Found;

/// Names of profiles that no object claims: what was loaded from here, and files with the
/// operator's header. They are to be reconciled like any other profile that is gone. `None` if the
/// directory can not be read.
///
/// A file whose name is not that of an object was written by somebody else with the operator's
/// tools, and stays.
pub(super) async fn find(node: &OnNode, claimed: &BTreeSet<String>) -> Option<Vec<String>> {
    let names = match node.files.list().await {
        Ok(names) => names,
        Err(error) => {
            warn!(error = %chain(&error), "cannot look for orphaned AppArmor profiles");
            return None;
        }
    };
    let mut profiles: BTreeSet<String> = node.memory.names().into_iter().collect();
    profiles.retain(|name| !claimed.contains(name));
    for file in names {
        if claimed.contains(&file) || ProfileName::parse(&file).is_err() {
            continue;
        }
        match node.files.read(&file).await {
            Ok(Found::File(bytes)) => {
                if std::str::from_utf8(&bytes).is_ok_and(apparmor::is_ours) {
                    profiles.insert(file);
                }
            }
            Ok(Found::Absent | Found::Strange) => {}
            Err(error) => {
                warn!(%file, error = %chain(&error), "cannot look at an AppArmor profile");
            }
        }
    }
    Some(profiles.into_iter().collect())
}
