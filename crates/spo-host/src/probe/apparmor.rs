//! Whether AppArmorProfiles can be loaded.

use std::fs;
use std::path::Path;

use rustix::thread::{CapabilitySet, capabilities};

use super::Wanted;

/// What is missing, and what to do about it; `None` if nothing is.
pub(super) fn missing(sys: &Path, wanted: Wanted, parser: Option<&Path>) -> Option<String> {
    let parameter = |name: &str| {
        let path = sys.join("module/apparmor/parameters").join(name);
        fs::read_to_string(path).ok()
    };
    let found = Found {
        enabled: parameter("enabled"),
        locked: parameter("lock_policy"),
        wanted,
        securityfs: sys.join("kernel/security/apparmor/.replace").exists(),
        may_load: capabilities(None)
            .is_ok_and(|own| own.effective.contains(CapabilitySet::MAC_ADMIN)),
        parser: parser.is_some(),
    };
    found.missing().map(str::to_owned)
}

/// What was found.
struct Found {
    /// The parameter of that name, if the kernel has it.
    enabled: Option<String>,
    /// The parameter `lock_policy`.
    locked: Option<String>,
    wanted: Wanted,
    securityfs: bool,
    may_load: bool,
    parser: bool,
}

impl Found {
    /// The first thing that somebody has to change.
    fn missing(&self) -> Option<&'static str> {
        let yes = |parameter: &Option<String>| {
            let text = parameter.as_deref().map(str::trim);
            text.map(|text| text.eq_ignore_ascii_case("y"))
        };
        Some(match yes(&self.enabled) {
            None => {
                "the kernel of this node has no AppArmor: use a kernel that is built with it, or \
                 other nodes"
            }
            Some(false) => {
                "AppArmor is switched off in the kernel of this node: boot it with \
                 security=apparmor, or with apparmor in the list of lsm="
            }
            Some(true) if self.wanted == Wanted::No => {
                "the operator is not told to install AppArmorProfiles: set spec.enableAppArmor of \
                 the SecurityProfilesOperatorDaemon"
            }
            Some(true) if !self.securityfs => {
                "the securityfs of this node is not to be seen: mount it on the node at \
                 /sys/kernel/security"
            }
            Some(true) if !self.may_load => {
                "the daemon may not load profiles: give its container CAP_MAC_ADMIN"
            }
            Some(true) if yes(&self.locked) == Some(true) => {
                "the policy of this node is locked: boot it without apparmor.lock_policy=1"
            }
            Some(true) if !self.parser => {
                "there is no apparmor_parser: use the operator's own image, or install the package \
                 apparmor"
            }
            Some(true) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Found {
        Found {
            enabled: Some("Y\n".to_owned()),
            locked: Some("N\n".to_owned()),
            wanted: Wanted::Yes,
            securityfs: true,
            may_load: true,
            parser: true,
        }
    }

    #[test]
    fn the_first_thing_to_change_is_told() {
        assert_eq!(here().missing(), None);
        type Change = fn(&mut Found);
        let cases: [(&str, Change); 7] = [
            ("a kernel that is built with it", |found| {
                found.enabled = None;
                found.wanted = Wanted::No;
            }),
            ("security=apparmor", |found| {
                found.enabled = Some("N\n".to_owned());
            }),
            ("spec.enableAppArmor", |found| {
                found.wanted = Wanted::No;
                found.securityfs = false;
                found.parser = false;
            }),
            ("/sys/kernel/security", |found| found.securityfs = false),
            ("CAP_MAC_ADMIN", |found| found.may_load = false),
            ("lock_policy", |found| found.locked = Some("Y\n".to_owned())),
            ("apparmor_parser", |found| found.parser = false),
        ];
        for (expected, change) in cases {
            let mut found = here();
            change(&mut found);
            let told = found.missing().unwrap_or_default();
            assert!(told.contains(expected), "{told} for {expected}");
        }
    }

    #[test]
    fn a_directory_without_anything_is_a_kernel_without_apparmor() {
        let dir = tempfile::tempdir().unwrap();
        let told = missing(dir.path(), Wanted::Yes, None).unwrap();
        assert!(told.contains("has no AppArmor"), "{told}");
    }
}
