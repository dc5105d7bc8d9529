//! Who may name an external crate: an adapter hides what it is made of.

use crate::{
    crate_order::{CORE, TEST_PREFIX, is_ours},
    manifest::{self, Dependency, Kind, Manifest},
    problem::Problem,
    tree::Tree,
};

/// External crates which more than one of ours may name, or which somebody else could want.
/// A crate which is not here belongs to the one crate that names it.
const OWNERS: &[(&str, &[&str])] = &[
    ("aya", &["spo-bpf"]),
    (
        "axum",
        &["spo-process", "spo-manager", "spo-webhook", "spo-selinuxd"],
    ),
    ("clap", &["security-profiles-operator", "spoc"]),
    // Servers of TLS are spo-process's; the client of a Unix socket is spo-selinuxd's.
    ("hyper", &["spo-process", "spo-selinuxd"]),
    ("hyper-util", &["spo-process", "spo-selinuxd"]),
    // With which features is a question of its own: `kube_features`.
    (
        "kube",
        &[
            "spo-api",
            "spo-kube",
            "spo-manager",
            "spo-daemon",
            "spo-enricher",
            "spo-webhook",
        ],
    ),
    ("libseccomp", &["spo-host"]),
    ("oci-client", &["spo-artifact"]),
    (
        "prometheus",
        &[
            "spo-process",
            "spo-kube",
            "spo-manager",
            "spo-daemon",
            "spo-webhook",
        ],
    ),
    ("prost", &["spo-proto"]),
    // Certificates: made by spo-certificate, and by a server that must not wait for one.
    ("rcgen", &["spo-certificate", "spo-process"]),
    ("rustls", &["spo-process"]),
    ("schemars", &["spo-api"]),
    ("sigstore", &["spo-artifact"]),
    ("syscalls", &["spo-host"]),
    ("tonic", &["spo-proto", "spo-daemon"]),
    ("tracing-subscriber", &["spo-process"]),
];

/// What anybody may name.
const FREE: &[&str] = &[
    "jiff",
    "k8s-openapi",
    "serde",
    "serde-saphyr",
    "serde_json",
    "sha2",
    "thiserror",
];

/// What anybody but the core may name: it neither waits nor tells.
const FREE_ABOVE_THE_CORE: &[&str] = &["futures", "tokio", "tracing"];

/// What anybody may name for tests.
const FREE_IN_TESTS: &[&str] = &["insta", "proptest", "tempfile"];

/// Features of kube which any of its users may ask for, and where all of them are.
const KUBE_OWNER: &str = "spo-kube";
const KUBE_IN_APPLICATIONS: &[&str] = &["client", "runtime", "derive"];
/// `cel` is for the tests of the schemas.
const KUBE_IN_API: &[&str] = &["derive", "cel"];

/// Every external crate is named by its owners only.
pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let manifests: Vec<Manifest> = manifest::packages(tree)
        .into_iter()
        .filter(|manifest| manifest.file.starts_with("crates/"))
        .filter(|manifest| !manifest.package.starts_with(TEST_PREFIX))
        .collect();
    let mut problems = Vec::new();
    for manifest in &manifests {
        for dependency in &manifest.dependencies {
            let found = refusal(manifest, dependency, &manifests);
            problems.extend(
                found.map(|(what, fix)| Problem::new(&manifest.file, dependency.line, what, fix)),
            );
        }
    }
    problems
}

/// Why a package may not name a dependency, and what to do.
fn refusal(
    manifest: &Manifest,
    dependency: &Dependency,
    all: &[Manifest],
) -> Option<(String, String)> {
    let package = manifest.package.as_str();
    let name = dependency.package.as_str();
    if is_ours(name) || FREE.contains(&name) {
        return None;
    }
    if FREE_ABOVE_THE_CORE.contains(&name) {
        return CORE.contains(&package).then(|| {
            (
                format!("{name} is not for the core"),
                "decide in the core, and wait and tell in the crate that calls it".to_owned(),
            )
        });
    }
    if FREE_IN_TESTS.contains(&name) && dependency.kind == Kind::Dev {
        return None;
    }
    if let Some((_, owners)) = OWNERS.iter().find(|(owned, _)| *owned == name) {
        if !owners.contains(&package) {
            let owners = owners.join(", ");
            return Some((
                format!("{name} belongs to {owners}, not to {package}"),
                format!("give {owners} a function for what is needed and call that"),
            ));
        }
        return kube_features(package, dependency);
    }
    let others: Vec<&str> = all
        .iter()
        .filter(|other| other.dependencies.iter().any(|named| named.package == name))
        .map(|other| other.package.as_str())
        .filter(|other| *other != package)
        .collect();
    (!others.is_empty()).then(|| {
        (
            format!(
                "{name} has more than one owner: {package} and {}",
                others.join(", ")
            ),
            "let one crate offer what the others need of it, or add it to the tables in \
             tests/tidy/src/owner.rs with a reason in the commit"
                .to_owned(),
        )
    })
}

fn kube_features(package: &str, dependency: &Dependency) -> Option<(String, String)> {
    if dependency.package != "kube" || package == KUBE_OWNER {
        return None;
    }
    let allowed = if package == "spo-api" {
        KUBE_IN_API
    } else {
        KUBE_IN_APPLICATIONS
    };
    let refused = dependency
        .features
        .iter()
        .find(|feature| !allowed.contains(&feature.as_str()))?;
    Some((
        format!("{package} may not switch on kube's feature {refused}"),
        format!(
            "keep to {}; what needs more is {KUBE_OWNER}'s",
            allowed.join(", ")
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::assert_says;

    /// Asserts what is said about two packages with these dependencies.
    fn check_two(first: (&str, &str), second: (&str, &str), expected: &[&str]) {
        let manifest = |(package, dependencies): (&str, &str)| {
            (
                format!("crates/{package}/Cargo.toml"),
                format!("[package]\nname = '{package}'\n{dependencies}"),
            )
        };
        let (first, second) = (manifest(first), manifest(second));
        let tree = Tree::from([(&*first.0, &*first.1), (&*second.0, &*second.1)]);
        assert_says(&check(&tree), expected);
    }

    fn check_one(package: &str, dependencies: &str, expected: &[&str]) {
        check_two((package, dependencies), ("spo-none", ""), expected);
    }

    #[test]
    fn an_owner_names_what_it_owns() {
        check_one(
            "spo-host",
            "[dependencies]\nlibseccomp = '1'\nserde = '1'",
            &[],
        );
    }

    #[test]
    fn nobody_else_does() {
        check_one(
            "spo-daemon",
            "[dependencies]\nlibseccomp = '1'",
            &["crates/spo-daemon/Cargo.toml:4: libseccomp belongs to spo-host, not to spo-daemon"],
        );
    }

    #[test]
    fn a_new_name_for_a_crate_does_not_hide_it() {
        check_one(
            "spo-daemon",
            "[dependencies]\nsc = { package = 'libseccomp', version = '1' }",
            &["crates/spo-daemon/Cargo.toml:4: libseccomp belongs to spo-host, not to spo-daemon"],
        );
    }

    #[test]
    fn the_core_does_not_wait() {
        check_one(
            "spo-audit",
            "[dependencies]\ntokio = '1'",
            &["crates/spo-audit/Cargo.toml:4: tokio is not for the core"],
        );
        check_one("spo-host", "[dependencies]\ntokio = '1'", &[]);
    }

    #[test]
    fn applications_do_not_choose_the_transport_of_kube() {
        let dependency = |feature| format!("[dependencies]\nkube = {{ features = ['{feature}'] }}");
        check_one("spo-daemon", &dependency("client"), &[]);
        check_one("spo-kube", &dependency("rustls-tls"), &[]);
        check_one(
            "spo-daemon",
            &dependency("rustls-tls"),
            &[
                "crates/spo-daemon/Cargo.toml:4: spo-daemon may not switch on kube's feature rustls-tls",
            ],
        );
        check_one(
            "spo-api",
            &dependency("client"),
            &["crates/spo-api/Cargo.toml:4: spo-api may not switch on kube's feature client"],
        );
    }

    #[test]
    fn tools_for_tests_are_not_shipped_by_two() {
        let (dev, shipped) = (
            "[dev-dependencies]\ninsta = '1'",
            "[dependencies]\ninsta = '1'",
        );
        check_two(("spo-api", dev), ("spo-host", dev), &[]);
        check_two(
            ("spo-api", dev),
            ("spo-host", shipped),
            &["crates/spo-host/Cargo.toml:4: insta has more than one owner: spo-host and spo-api"],
        );
    }

    #[test]
    fn a_crate_which_no_table_names_belongs_to_one() {
        let dependencies = "[dependencies]\nrustix = '1'";
        check_one("spo-host", dependencies, &[]);
        check_two(
            ("spo-bpf", dependencies),
            ("spo-host", dependencies),
            &[
                "crates/spo-bpf/Cargo.toml:4: rustix has more than one owner: spo-bpf and spo-host",
                "crates/spo-host/Cargo.toml:4: rustix has more than one owner: spo-host and spo-bpf",
            ],
        );
    }
}
