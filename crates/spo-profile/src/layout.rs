//! Where a profile lives: the file on a node and the path that a pod writes.
//!
//! The only place that turns a name into a file name; manager, daemon and `spoc` use it, so that
//! they can not disagree.

use sha2::{Digest, Sha256};
use spo_api::name::ProfileName;

/// The directory of the operator, relative to the seccomp directory of the kubelet.
pub const OPERATOR_DIR: &str = "operator";

/// What [`OPERATOR_DIR`] is a link to on the node, so that profiles outlive the kubelet directory.
pub const HOST_OPERATOR_ROOT: &str = "/var/lib/security-profiles-operator";

/// The file in [`HOST_OPERATOR_ROOT`] in which the operator remembers the kubelet directory.
pub const KUBELET_CONFIG: &str = "kubelet-config.json";

/// How container runtimes expect the file of a seccomp profile to end.
const SUFFIX: &str = ".json";

/// Longest file name in bytes (Linux, `NAME_MAX`).
const NAME_MAX: usize = 255;

/// Hexadecimal digits of the hash in a shortened file name: 160 bits, so that nobody finds two
/// names with the same file.
const HASH_DIGITS: usize = 40;

/// A profile name whose file belongs to the operator itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "metadata.name: {0:?} is reserved, because kubelet-config.json in the same directory is a \
     file of the operator; give the profile another name"
)]
pub struct ReservedName(pub String);

/// The name of the file of a SeccompProfile in the operator directory.
///
/// It is `<name>.json`, or `<name>` if that ends in `.json` already (contract 02a, 2.7). A name
/// which is too long for a file is cut, and a hash of all of it follows after `_`, which no object
/// name contains.
///
/// # Errors
/// The file would be the operator's own.
pub fn seccomp_file(name: &ProfileName) -> Result<String, ReservedName> {
    let name = name.as_str();
    let file = if name.ends_with(SUFFIX) {
        name.to_owned()
    } else {
        format!("{name}{SUFFIX}")
    };
    if file == KUBELET_CONFIG {
        return Err(ReservedName(name.to_owned()));
    }
    if file.len() <= NAME_MAX {
        return Ok(file);
    }
    let hash: String = Sha256::digest(name)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let hash: String = hash.chars().take(HASH_DIGITS).collect();
    let start: String = name
        .chars()
        .take(NAME_MAX - SUFFIX.len() - HASH_DIGITS - "_".len())
        .collect();
    Ok(format!("{start}_{hash}{SUFFIX}"))
}

/// What a pod writes in `securityContext.seccompProfile.localhostProfile` to use that file.
pub fn localhost_profile(file: &str) -> String {
    format!("{OPERATOR_DIR}/{file}")
}

/// The other object name which has the same file, if there is one: `a` and `a.json`.
///
/// Two such objects would overwrite each other's file, so whoever installs one looks for the other.
pub fn rival(name: &ProfileName) -> Option<ProfileName> {
    let other = match name.as_str().strip_suffix(SUFFIX) {
        // The file of `a.json.json` is not the one of `a.json`, which has its suffix already.
        Some(stem) if stem.ends_with(SUFFIX) => return None,
        Some(stem) => ProfileName::parse(stem),
        None => ProfileName::parse(&format!("{name}{SUFFIX}")),
    };
    other.ok()
}

/// The directory of the node which holds the text of AppArmor profiles.
pub const APPARMOR_DIR: &str = "/etc/apparmor.d";

/// What AppArmor itself keeps in [`APPARMOR_DIR`] (apparmor.d(5), rc.apparmor.functions).
const APPARMOR_OWN: [&str; 8] = [
    "abi",
    "abstractions",
    "cache",
    "cache.d",
    "disable",
    "force-complain",
    "local",
    "tunables",
];

/// A profile name which has no file in [`APPARMOR_DIR`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "metadata.name: {name:?} can not be the name of an AppArmor profile, because {file:?} is \
     no file for one in /etc/apparmor.d; give the profile another name"
)]
pub struct NoAppArmorFile {
    /// The name of the profile.
    pub name: String,
    /// What its file would be called.
    pub file: String,
}

/// The name of the file of an AppArmor profile in [`APPARMOR_DIR`]: that of the profile, with `.`
/// for `/` and without dots at both ends (contract 02a, 4.5).
///
/// # Errors
/// Nothing is left of the name, it is too long, or AppArmor uses it itself.
pub fn apparmor_file(name: &str) -> Result<String, NoAppArmorFile> {
    let file = name.replace('/', ".");
    let file = file.trim_matches('.');
    let is_taken = APPARMOR_OWN.contains(&file);
    if file.is_empty() || file.len() > NAME_MAX || file.contains('\0') || is_taken {
        return Err(NoAppArmorFile {
            name: name.to_owned(),
            file: file.to_owned(),
        });
    }
    Ok(file.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ProfileName {
        ProfileName::parse(text).unwrap()
    }

    #[test]
    fn files_end_in_json_once() {
        for (object, file) in [
            ("web", "web.json"),
            ("web.json", "web.json"),
            ("web.json.json", "web.json.json"),
            ("a.b", "a.b.json"),
            ("json", "json.json"),
            ("kubelet-config.v2", "kubelet-config.v2.json"),
        ] {
            assert_eq!(seccomp_file(&name(object)).as_deref(), Ok(file), "{object}");
        }
        assert_eq!(localhost_profile("web.json"), "operator/web.json");
    }

    #[test]
    fn the_file_of_the_operator_is_reserved() {
        for reserved in ["kubelet-config", "kubelet-config.json"] {
            assert_eq!(
                seccomp_file(&name(reserved)),
                Err(ReservedName(reserved.to_owned()))
            );
        }
        let text = ReservedName("kubelet-config".to_owned()).to_string();
        assert!(text.contains("give the profile another name"), "{text}");
    }

    #[test]
    fn long_names_fit_into_a_file_name() {
        assert_eq!(seccomp_file(&name(&"a".repeat(250))).unwrap().len(), 255);
        for length in 251..=253 {
            let file = seccomp_file(&name(&"a".repeat(length))).unwrap();
            assert_eq!(file.len(), 255, "{file}");
            assert_eq!(file.matches('_').count(), 1, "{file}");
        }
        let one = seccomp_file(&name(&format!("{}b", "a".repeat(251))));
        let two = seccomp_file(&name(&format!("{}c", "a".repeat(251))));
        assert_ne!(one, two);
        let exact = seccomp_file(&name(&"a".repeat(251))).unwrap();
        assert!(
            exact.ends_with("_772f911dd9d6692897188d0b03f718fb5fbd0202.json"),
            "{exact}"
        );
        let suffixed = format!("{}.json", "a".repeat(248));
        assert_eq!(seccomp_file(&name(&suffixed)), Ok(suffixed));
    }

    #[test]
    fn files_of_apparmor_are_flat() {
        for (profile, file) in [
            ("web", "web"),
            ("a.b-c", "a.b-c"),
            ("/usr/bin/man", "usr.bin.man"),
            ("../../etc/passwd", "etc.passwd"),
            ("./a/.", "a"),
        ] {
            assert_eq!(apparmor_file(profile).as_deref(), Ok(file), "{profile}");
        }
        for none in [
            "",
            ".",
            "..",
            "/",
            "./..",
            "abstractions",
            "tunables/",
            "local",
            "a\0",
        ] {
            assert!(apparmor_file(none).is_err(), "{none}");
        }
        assert!(apparmor_file(&"a".repeat(253)).is_ok());
        assert!(apparmor_file(&"a".repeat(256)).is_err());
    }

    #[test]
    fn rivals_have_the_same_file() {
        for (object, other) in [
            ("a", Some("a.json")),
            ("a.json", Some("a")),
            ("a.json.json", None),
            (&*"a".repeat(249), None),
        ] {
            assert_eq!(rival(&name(object)), other.map(name), "{object}");
            if let Some(other) = other {
                assert_eq!(seccomp_file(&name(object)), seccomp_file(&name(other)));
            }
        }
        let longest = "a".repeat(248);
        assert_eq!(
            rival(&name(&longest)),
            Some(name(&format!("{longest}.json")))
        );
    }
}
