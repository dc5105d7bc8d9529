//! Modules that an operator wrote for profiles which were deleted while no daemon was running here.

use std::collections::BTreeSet;

use spo_process::chain::chain;
use spo_profile::selinux::name::BlockName;
use tracing::warn;

use super::index::{PROFILE, subject};
use crate::files::Files;
use crate::profile::Subject;

/// The profiles whose files no object claims. They are to be reconciled like any other profile that
/// is gone: the plan looks at what is in the file, so that somebody else's stays. `None` if the
/// directory can not be read.
pub(super) async fn find(files: &Files, claimed: &BTreeSet<String>) -> Option<Vec<Subject>> {
    let names = match files.list().await {
        Ok(names) => names,
        Err(error) => {
            warn!(error = %chain(&error), "cannot look for orphaned modules");
            return None;
        }
    };
    let orphans = names.iter().filter(|file| !claimed.contains(*file));
    let orphans = orphans.filter_map(|file| BlockName::of_file(file));
    // Which of the two kinds it was does not matter any more.
    Some(
        orphans
            .map(|name| subject(PROFILE, name.as_str()))
            .collect(),
    )
}
