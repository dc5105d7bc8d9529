//! Pure. Which image of selinuxd fits the nodes: by the mapping in a ConfigMap from the name of the
//! system to a variable of the manager (contract 03, 4.2).
//!
//! What is wrong with the mapping, or with nodes that differ, is told and stops nothing: the image
//! for every other system is taken then.

use std::collections::{BTreeMap, BTreeSet};

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

/// The ConfigMap and its key, for messages too.
pub(super) const CONFIG_MAP: &str = "security-profiles-operator-profile";
pub(super) const KEY: &str = "selinuxd-image-mapping.json";

/// What names of variables start with, so that a mapping can not ask for any other.
pub const PREFIX: &str = "RELATED_IMAGE_";

/// The variable with the image for systems that the mapping does not name.
const FALLBACK: &str = "RELATED_IMAGE_SELINUXD";

/// How large a pattern may become when it is compiled, in bytes.
const PATTERN: usize = 1 << 20;

/// The choice, and what was wrong on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) image: Option<String>,
    pub(super) problem: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    regex: String,
    #[serde(default)]
    image_from_var: String,
}

/// An entry that can be used: a pattern, and a variable.
type Usable = (Regex, String);

/// Chooses for nodes with these systems, each once a node. `mapping` is absent where there is no
/// ConfigMap or no such key; `images` are the variables.
pub(super) fn choose(
    mapping: Option<&str>,
    systems: &[String],
    images: &BTreeMap<String, String>,
) -> Choice {
    let image = |variable: &str| images.get(variable).filter(|image| !image.is_empty());
    let fallback = image(FALLBACK).cloned();
    let mut problems = Vec::new();
    let entries = match mapping.map(parse) {
        Some(Ok((entries, found))) => {
            problems.extend(found);
            entries
        }
        Some(Err(problem)) => {
            problems.push(problem);
            Vec::new()
        }
        None => {
            problems.push(format!(
                "there is no ConfigMap {CONFIG_MAP} with a key {KEY}"
            ));
            Vec::new()
        }
    };
    // How many nodes each image fits, and one of their systems.
    let mut votes: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for system in systems {
        let entry = entries.iter().find(|(regex, _)| regex.is_match(system));
        let chosen = entry
            .and_then(|(_, variable)| image(variable))
            .or(fallback.as_ref());
        if let Some(chosen) = chosen {
            votes.entry(chosen.clone()).or_insert((0, system)).0 += 1;
        }
    }
    let most = votes
        .iter()
        .max_by_key(|(name, (count, _))| (*count, std::cmp::Reverse((*name).clone())))
        .map(|(name, _)| name.clone());
    if votes.len() > 1 {
        let fits: Vec<String> = votes
            .iter()
            .map(|(image, (count, system))| {
                format!("{image} fits {count} nodes such as {system:?}")
            })
            .collect();
        problems.push(format!(
            "one DaemonSet has one image of selinuxd, and the nodes need several: {}; the one that \
             fits most is taken",
            fits.join(", ")
        ));
    }
    Choice {
        image: most.or(fallback),
        problem: (!problems.is_empty()).then(|| problems.join("; ")),
    }
}

/// A choice without the mapping, because of this.
pub(super) fn without_mapping(problem: String, images: &BTreeMap<String, String>) -> Choice {
    let fallback = images.get(FALLBACK).filter(|image| !image.is_empty());
    Choice {
        image: fallback.cloned(),
        problem: Some(problem),
    }
}

/// The entries that can be used, in order, and what is wrong with the others.
fn parse(text: &str) -> Result<(Vec<Usable>, BTreeSet<String>), String> {
    let entries: Vec<Entry> = serde_json::from_str(text)
        .map_err(|error| format!("{KEY} in ConfigMap {CONFIG_MAP} is not valid: {error}"))?;
    let mut usable = Vec::new();
    let mut problems = BTreeSet::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let number = index + 1;
        // As upstream: an entry without a pattern is passed over.
        if entry.regex.is_empty() {
            continue;
        }
        if !entry.image_from_var.starts_with(PREFIX) {
            problems.insert(format!(
                "entry {number} of {KEY}: imageFromVar {:?} does not start with {PREFIX}",
                entry.image_from_var
            ));
            continue;
        }
        match RegexBuilder::new(&entry.regex).size_limit(PATTERN).build() {
            Ok(regex) => usable.push((regex, entry.image_from_var)),
            Err(_error) => {
                problems.insert(format!(
                    "entry {number} of {KEY}: regex {:?} is not valid",
                    entry.regex
                ));
            }
        }
    }
    Ok((usable, problems))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What we ship.
    fn shipped() -> String {
        let text = include_str!("../../../../deploy/base/profiles.yaml");
        let object: Value = serde_saphyr::from_str(text).unwrap();
        object["data"][KEY].as_str().unwrap().to_owned()
    }

    fn images() -> BTreeMap<String, String> {
        ["", "_EL8", "_EL9", "_EL10", "_FEDORA"]
            .into_iter()
            .map(|end| (format!("{FALLBACK}{end}"), format!("image{end}")))
            .collect()
    }

    fn chosen(system: &str) -> Choice {
        choose(Some(&shipped()), &[system.to_owned()], &images())
    }

    #[test]
    fn the_mapping_that_we_ship_is_upstream_s() {
        for (system, expected) in [
            (
                "Red Hat Enterprise Linux CoreOS 411.86.202212072103-0 (Ootpa)",
                "image_EL8",
            ),
            ("Red Hat Enterprise Linux release 8.7 (Ootpa)", "image_EL8"),
            (
                "CentOS Stream CoreOS 413.92.202303061740-0 (Plow)",
                "image_EL9",
            ),
            (
                "Red Hat Enterprise Linux CoreOS 9.6.20251023-0 (Plow)",
                "image_EL9",
            ),
            ("Red Hat Enterprise Linux release 9.2 (Plow)", "image_EL9"),
            ("CentOS Stream release 9.1", "image_EL9"),
            (
                "Red Hat Enterprise Linux CoreOS 10.1.20251202-0 (Coughlan)",
                "image_EL10",
            ),
            (
                "Red Hat Enterprise Linux release 10.0 (Coughlan)",
                "image_EL10",
            ),
            ("Fedora 39", "image_FEDORA"),
            ("Fedora Linux 39 (Cloud Edition)", "image"),
            ("Red Hat Enterprise Linux CoreOS 420.94.1-0", "image"),
            ("Debian GNU/Linux 13 (trixie)", "image"),
        ] {
            let image = Some(expected.to_owned());
            assert_eq!(
                chosen(system),
                Choice {
                    image,
                    problem: None
                },
                "{system}"
            );
        }
    }

    #[test]
    fn a_variable_which_is_not_set_is_the_one_for_all_others() {
        let mut images = images();
        images.insert("RELATED_IMAGE_SELINUXD_FEDORA".to_owned(), String::new());
        let systems = ["Fedora 39".to_owned()];
        let choice = choose(Some(&shipped()), &systems, &images);
        assert_eq!(choice.image.as_deref(), Some("image"));
        let choice = choose(Some(&shipped()), &systems, &BTreeMap::new());
        assert_eq!(choice, Choice::default());
    }

    #[test]
    fn a_broken_mapping_is_told_and_the_image_for_all_others_taken() {
        let systems = ["Fedora 39".to_owned()];
        for (mapping, expected) in [
            (None, "there is no ConfigMap"),
            (Some("{"), "is not valid"),
            (
                Some(r#"[{"regex": "(", "imageFromVar": "RELATED_IMAGE_X"}]"#),
                "entry 1 of",
            ),
            (
                Some(r#"[{"regex": "a", "imageFromVar": "HOME"}]"#),
                "does not start with",
            ),
        ] {
            let choice = choose(mapping, &systems, &images());
            assert_eq!(choice.image.as_deref(), Some("image"), "{mapping:?}");
            let problem = choice.problem.unwrap();
            assert!(problem.contains(expected), "{problem}");
        }
        // What is right beside it counts.
        let mapping = r#"[{"regex": "("}, {"regex": ""}, {"regex": "Fed", "imageFromVar": "RELATED_IMAGE_SELINUXD_EL8"}]"#;
        let choice = choose(Some(mapping), &systems, &images());
        assert_eq!(choice.image.as_deref(), Some("image_EL8"));
    }

    #[test]
    fn nodes_that_differ_are_told_of() {
        let systems = ["Fedora 39", "Fedora 40", "CentOS Stream release 9.1"].map(str::to_owned);
        let choice = choose(Some(&shipped()), &systems, &images());
        assert_eq!(choice.image.as_deref(), Some("image_FEDORA"));
        let problem = choice.problem.unwrap();
        assert!(problem.contains("image_EL9 fits 1 nodes"), "{problem}");
        assert_eq!(
            choose(Some("[]"), &[], &images()).image.as_deref(),
            Some("image")
        );
    }
}
