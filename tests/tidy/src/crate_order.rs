//! Which of our crates may use which: decisions below, actions above, and no cycle in between.

use crate::{manifest, problem::Problem, tree::Tree};

/// Crates which decide and do not act.
pub(crate) const CORE: [&str; 5] = [
    "spo-api",
    "spo-profile",
    "spo-audit",
    "spo-record",
    "spo-render",
];

/// Packages which ship nothing may use anything.
pub(crate) const TEST_PREFIX: &str = "spo-test-";

/// Each crate, and those of ours it may use. A new crate is a new line, decided on purpose.
const ORDER: &[(&str, &[&str])] = &[
    ("spo-api", &[]),
    ("spo-audit", &[]),
    ("spo-proto", &[]),
    ("spo-process", &[]),
    ("spo-certificate", &[]),
    ("spo-profile", &["spo-api"]),
    ("spo-render", &["spo-api"]),
    ("spo-host", &["spo-api"]),
    ("spo-selinuxd", &["spo-process", "spo-host"]),
    ("spo-record", &["spo-api", "spo-profile"]),
    ("spo-kube", &["spo-process"]),
    ("spo-bpf", &["spo-record"]),
    ("spo-artifact", &["spo-api", "spo-profile"]),
    (
        "spo-webhook",
        &[
            "spo-api",
            "spo-profile",
            "spo-process",
            "spo-kube",
            "spo-host",
        ],
    ),
    (
        "spo-manager",
        &[
            "spo-api",
            "spo-profile",
            "spo-record",
            "spo-render",
            "spo-process",
            "spo-kube",
            "spo-certificate",
            "spo-webhook",
        ],
    ),
    (
        "spo-daemon",
        &[
            "spo-api",
            "spo-profile",
            "spo-audit",
            "spo-record",
            "spo-process",
            "spo-kube",
            "spo-host",
            "spo-selinuxd",
            "spo-bpf",
            "spo-artifact",
            "spo-proto",
        ],
    ),
    (
        "spo-enricher",
        &[
            "spo-api",
            "spo-audit",
            "spo-process",
            "spo-kube",
            "spo-host",
        ],
    ),
    (
        "security-profiles-operator",
        &[
            "spo-api",
            "spo-render",
            "spo-manager",
            "spo-daemon",
            "spo-enricher",
            "spo-webhook",
            "spo-process",
            "spo-selinuxd",
        ],
    ),
    (
        "spoc",
        &[
            "spo-api",
            "spo-profile",
            "spo-record",
            "spo-process",
            "spo-host",
            "spo-bpf",
            "spo-artifact",
        ],
    ),
];

/// Every crate of ours stands in the table and uses only what it says. Tests of a crate too.
pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for manifest in manifest::packages(tree) {
        let package = manifest.package.as_str();
        if package.starts_with(TEST_PREFIX) || !manifest.file.starts_with("crates/") {
            continue;
        }
        let Some((_, allowed)) = ORDER.iter().find(|(name, _)| *name == package) else {
            problems.push(Problem::new(
                &manifest.file,
                1,
                format!("{package} has no place in the order of crates"),
                "say in tests/tidy/src/crate_order.rs what it may use, or put its code in a crate \
                 that is there",
            ));
            continue;
        };
        for dependency in &manifest.dependencies {
            let used = dependency.package.as_str();
            if is_ours(used) && !allowed.contains(&used) {
                problems.push(Problem::new(
                    &manifest.file,
                    dependency.line,
                    format!("{package} may not use {used}"),
                    format!(
                        "move what it needs into {}, or let a crate above both pass it on",
                        if allowed.is_empty() {
                            "itself".to_owned()
                        } else {
                            allowed.join(", ")
                        }
                    ),
                ));
            }
        }
    }
    problems
}

/// Whether a package is one of ours.
pub(crate) fn is_ours(package: &str) -> bool {
    package.starts_with("spo-") || ORDER.iter().any(|(name, _)| *name == package)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::assert_says;

    fn check_one(package: &str, dependencies: &str, expected: &[&str]) {
        let file = format!("crates/{package}/Cargo.toml");
        let text = format!("[package]\nname = '{package}'\n{dependencies}");
        assert_says(
            &check(&Tree::from([(file.as_str(), text.as_str())])),
            expected,
        );
    }

    #[test]
    fn a_crate_uses_what_lies_below_it() {
        check_one(
            "spo-profile",
            "[dependencies]\nspo-api.workspace = true\nserde = '1'",
            &[],
        );
    }

    #[test]
    fn the_core_does_not_use_an_adapter() {
        check_one(
            "spo-profile",
            "[dependencies]\nspo-host.workspace = true",
            &["crates/spo-profile/Cargo.toml:4: spo-profile may not use spo-host"],
        );
    }

    #[test]
    fn tests_are_held_to_the_order_too() {
        check_one(
            "spo-manager",
            "[dev-dependencies]\nspo-daemon.workspace = true",
            &["crates/spo-manager/Cargo.toml:4: spo-manager may not use spo-daemon"],
        );
    }

    #[test]
    fn a_crate_nobody_decided_about_is_refused() {
        check_one(
            "spo-util",
            "",
            &["crates/spo-util/Cargo.toml:1: spo-util has no place in the order of crates"],
        );
    }

    #[test]
    fn the_table_has_no_cycle() {
        let mut placed: Vec<&str> = Vec::new();
        while placed.len() < ORDER.len() {
            let before = placed.len();
            for (name, allowed) in ORDER {
                if !placed.contains(name) && allowed.iter().all(|below| placed.contains(below)) {
                    placed.push(name);
                }
            }
            assert!(
                placed.len() > before,
                "only {placed:?} can be put in an order"
            );
        }
    }
}
