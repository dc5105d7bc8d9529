//! Files that an operator wrote for profiles which were deleted while no daemon was running here.

use std::collections::BTreeSet;

use spo_api::name::ProfileName;
use spo_process::chain::chain;
use spo_profile::seccomp::render;
use tracing::{info, warn};

use crate::files::{Error, Files, Found};
use crate::metrics::Counters;
use crate::profile::Operation;

/// Names of the profiles whose files no object claims. They are to be reconciled like any other
/// profile that is gone: one at a time per name, so that a profile which comes right now does not
/// lose its file. `None` if the directory can not be read.
///
/// A file whose name can not be the name of a profile (the shortened form of a very long one) is
/// removed here. What an operator has not rendered stays: somebody put it there.
pub(super) async fn find(
    files: &Files,
    counters: &Counters,
    claimed: &BTreeSet<String>,
) -> Option<Vec<String>> {
    let names = match files.list().await {
        Ok(names) => names,
        Err(error) => {
            warn!(error = %chain(&error), "cannot look for orphaned profiles");
            return None;
        }
    };
    let mut profiles = Vec::new();
    for file in names.iter().filter(|file| !claimed.contains(*file)) {
        let Some(name) = file.strip_suffix(".json") else {
            continue;
        };
        if ProfileName::parse(name).is_ok() {
            profiles.push(name.to_owned());
        } else if let Err(error) = remove(files, counters, file).await {
            warn!(%file, error = %chain(&error), "cannot remove an orphaned profile");
        }
    }
    Some(profiles)
}

async fn remove(files: &Files, counters: &Counters, file: &str) -> Result<(), Error> {
    match files.read(file).await? {
        Found::File(bytes) if render::is_rendered(&bytes) => files.remove(file).await?,
        Found::File(_) | Found::Absent | Found::Strange => return Ok(()),
    }
    counters.count_operation(Operation::Delete);
    info!(%file, "orphaned profile removed");
    Ok(())
}
