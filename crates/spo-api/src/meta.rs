//! Label, annotation and finalizer keys, and how their values are built.
//!
//! Source of all names: contract 01, sections 5.5, 6 and 7.

use sha2::{Digest, Sha256};

/// On a node status and on its profile: finds all node statuses of a profile.
pub const LABEL_PROFILE_ID: &str = "spo.x-k8s.io/profile-id";
/// On a node status: the node, see [`label_value`].
pub const LABEL_NODE_NAME: &str = "spo.x-k8s.io/node-name";
/// On a node status: a copy of `status.status`.
pub const LABEL_PROFILE_STATE: &str = "spo.x-k8s.io/profile-state";
/// On a node status: the kind of the profile, or [`KIND_NODE`].
pub const LABEL_PROFILE_KIND: &str = "spo.x-k8s.io/profile-kind";
/// On a recorded profile that waits to be merged. Only its presence matters.
pub const LABEL_PARTIAL: &str = "spo.x-k8s.io/partial";
/// On everything that we ship.
pub const LABEL_APP: &str = "app";
/// The value of [`LABEL_APP`].
pub const APP: &str = "security-profiles-operator";

/// The `profile-kind` of the node status which describes a node.
pub const KIND_NODE: &str = "Node";

/// Effective system calls of a profile that has a base profile, as JSON. Upstream's key has no
/// prefix; both are written (contract 01, 11.28).
pub const ANNOTATION_SYSCALLS: &str = "syscalls";

/// The one finalizer of a profile. Owned by the manager; leaves when no living node holds the
/// profile any more.
pub const FINALIZER: &str = "spo.x-k8s.io/installed";

/// Finalizers of upstream that have no owner left once we run the cluster.
///
/// `<node>-deleted` was owned by a node, the others by upstream's manager, daemons and webhooks.
pub fn is_upstream_finalizer(finalizer: &str) -> bool {
    OF_UPSTREAM.contains(&finalizer)
        || (!finalizer.contains('/') && finalizer.ends_with("-deleted"))
}

/// On profiles; on ProfileRecordings; on ProfileBindings.
const OF_UPSTREAM: [&str; 5] = [
    "in-use-by-active-pods",
    "spo.x-k8s.io/partial-profile-finalizer",
    "spo.x-k8s.io/has-unmerged-profiles",
    "active-seccomp-profile-recording-lock",
    "active-workload-lock",
];

/// Longest value of a label (Kubernetes, "Labels and Selectors").
const LABEL_MAX: usize = 63;

/// The value of [`LABEL_PROFILE_ID`]: `<Kind>-<name>`, hashed when it has 63 characters or more.
///
/// Source: contract 01, 7.4. A value of exactly 63 characters would fit and is hashed all the same.
pub fn profile_id(kind: &str, name: &str) -> String {
    let long = format!("{kind}-{name}");
    if long.len() < LABEL_MAX {
        return long;
    }
    let digest = hex(&Sha256::digest(long.as_bytes()));
    format!("{kind}-{}", &digest[..LABEL_MAX - kind.len() - 1])
}

/// A name as a label value: itself if it fits, else its start and a hash.
pub fn label_value(name: &str) -> String {
    if name.len() <= LABEL_MAX {
        return name.to_owned();
    }
    shorten(name, name, LABEL_MAX)
}

/// The name of the node status of `profile` on `node`: readable, unique per kind, profile and node,
/// and at most 253 characters long.
///
/// Clients find node statuses by label (decision 7), so the name only has to be free of collisions:
/// `a` on `b-c` and `a-b` on `c` differ in the hash.
pub fn node_status_name(kind: &str, profile: &str, node: &str) -> String {
    let full = format!("{profile}-{node}");
    let identity = format!("{kind}/{profile}/{node}");
    shorten(&full, &identity, NAME_MAX)
}

/// Longest name of an object (RFC 1123 subdomain).
const NAME_MAX: usize = 253;
/// Hexadecimal digits of the hash in a shortened name: 40 bits.
const HASH_DIGITS: usize = 10;

/// The start of `text`, a dash and a hash of `identity`; at most `max` characters.
fn shorten(text: &str, identity: &str, max: usize) -> String {
    let digest = hex(&Sha256::digest(identity.as_bytes()));
    let start: String = text.chars().take(max - HASH_DIGITS - 1).collect();
    // A name may not have a dash or a dot before the dash that follows.
    let start = start.trim_end_matches(['-', '.']);
    format!("{start}-{}", &digest[..HASH_DIGITS])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_ids_are_those_of_upstream() {
        let long = "this-is-a-very-long-name-surely-over-64-characters-omg-its-overflowing";
        for (name, expected) in [
            (
                "shortname-profile",
                "SeccompProfile-shortname-profile".to_owned(),
            ),
            (
                long,
                "SeccompProfile-9d42ecd8a72de861cc202ee69381e536088eec6dc43f8f8e".to_owned(),
            ),
            (
                &"a".repeat(47),
                format!("SeccompProfile-{}", "a".repeat(47)),
            ),
            (
                &"a".repeat(48),
                "SeccompProfile-aba181ef22f4f10d6d3b6291df8cce2e930f0ffd48e1471d".to_owned(),
            ),
        ] {
            assert_eq!(profile_id("SeccompProfile", name), expected);
        }
    }

    #[test]
    fn node_status_names_do_not_collide_and_fit() {
        let name = |kind, profile: &str, node: &str| node_status_name(kind, profile, node);
        assert_ne!(
            name("SeccompProfile", "a", "b-c"),
            name("SeccompProfile", "a-b", "c")
        );
        assert_ne!(
            name("SeccompProfile", "a", "n"),
            name("SelinuxProfile", "a", "n")
        );
        let longest = name("SeccompProfile", &"p".repeat(253), &"n".repeat(253));
        assert_eq!(longest.len(), 253);
        assert!(name("SeccompProfile", &format!("{}.b", "p".repeat(241)), "n").contains("p-"));
    }

    #[test]
    fn long_node_names_become_label_values() {
        assert_eq!(label_value("node-1"), "node-1");
        let long = label_value(&format!("node.{}", "x".repeat(100)));
        assert_eq!(long.len(), 63);
        assert_ne!(long, label_value(&format!("node.{}", "x".repeat(101))));
    }

    #[test]
    fn finalizers_of_upstream_are_recognized() {
        for finalizer in [
            "node-1-deleted",
            "in-use-by-active-pods",
            "spo.x-k8s.io/partial-profile-finalizer",
            "spo.x-k8s.io/has-unmerged-profiles",
            "active-seccomp-profile-recording-lock",
            "active-workload-lock",
        ] {
            assert!(is_upstream_finalizer(finalizer), "{finalizer}");
        }
        for finalizer in [
            FINALIZER,
            "example.com/x-deleted",
            "foregroundDeletion",
            "orphan",
        ] {
            assert!(!is_upstream_finalizer(finalizer), "{finalizer}");
        }
    }
}
