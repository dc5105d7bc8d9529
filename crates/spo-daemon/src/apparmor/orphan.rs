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
/// A file whose name is not that of an object, or which defines a profile of another name, was
/// written by somebody else with the operator's tools, and stays.
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
                let text = String::from_utf8_lossy(&bytes);
                if apparmor::is_ours(&text) && defines(&text, &file) {
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

/// Whether a text begins a profile of this name, as we write it or as its author did.
fn defines(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        let named = |word: &str| word.trim_end_matches('{').trim_matches('"') == name;
        words.next() == Some("profile") && words.next().is_some_and(named)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spo_api::apparmor_profile::AppArmorProfileSpec;

    #[test]
    fn a_file_is_of_an_object_if_it_defines_a_profile_of_its_own_name() {
        let text = apparmor::render("web", &AppArmorProfileSpec::default()).unwrap();
        assert!(defines(&text, "web"));
        assert!(!defines(&text, "we"));
        for ours in ["profile web{", "  profile \"web\" flags=(complain) {"] {
            assert!(defines(ours, "web"), "{ours}");
        }
        for other in [
            "profile /usr/bin/web {",
            "profile",
            "# profile web {",
            "web {",
        ] {
            assert!(!defines(other, "usr.bin.web"), "{other}");
            assert!(!defines(other, "web"), "{other}");
        }
    }
}
