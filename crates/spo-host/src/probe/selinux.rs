//! Whether SELinux profiles can be installed.
//!
//! Two things tell, inside an ordinary container, too: the kernel lists `selinuxfs` among its file
//! systems if and only if SELinux was switched on when it booted, and a process has a context if
//! and only if a policy is loaded.

use std::fs;
use std::path::Path;

use super::Wanted;

/// What is missing, and what to do about it; `None` if nothing is.
pub(super) fn missing(proc: &Path, wanted: Wanted, daemon: Option<bool>) -> Option<String> {
    let read = |file: &str| fs::read_to_string(proc.join(file)).unwrap_or_default();
    let kernel = kernel(&read("filesystems"), &read("self/attr/current"));
    found(kernel, wanted, daemon).map(str::to_owned)
}

/// SELinux in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Off,
    /// On, and nobody has loaded a policy.
    NoPolicy,
    On,
}

/// From the contents of `/proc/filesystems` and `/proc/self/attr/current`.
fn kernel(filesystems: &str, current: &str) -> Kernel {
    let listed = filesystems
        .lines()
        .any(|line| line.split_whitespace().next_back() == Some("selinuxfs"));
    match (is_context(current), listed) {
        (true, _) => Kernel::On,
        (false, true) => Kernel::NoPolicy,
        (false, false) => Kernel::Off,
    }
}

/// `user:role:type`, and perhaps a level. AppArmor says `unconfined` or `name (mode)`, where a name
/// can hold colons but a mode follows.
fn is_context(current: &str) -> bool {
    let current = current.trim_end_matches(['\0', '\n']);
    let mut parts = current.splitn(4, ':');
    let word = |part: Option<&str>| {
        part.is_some_and(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        })
    };
    word(parts.next()) && word(parts.next()) && word(parts.next())
}

fn found(kernel: Kernel, wanted: Wanted, daemon: Option<bool>) -> Option<&'static str> {
    Some(match (kernel, wanted, daemon) {
        (Kernel::Off, _, _) => {
            "SELinux is off in the kernel of this node: boot it with security=selinux selinux=1, \
             or use other nodes"
        }
        (Kernel::NoPolicy, _, _) => {
            "the kernel of this node has loaded no SELinux policy: install one, and set SELINUX in \
             /etc/selinux/config to permissive or enforcing"
        }
        (Kernel::On, Wanted::No, _) => {
            "the operator is not told to install SELinux profiles: set spec.selinux.enable of the \
             SecurityProfilesOperatorDaemon"
        }
        (Kernel::On, Wanted::Yes, Some(false)) => {
            "selinuxd does not answer: look at the container selinuxd of the daemon's pod"
        }
        (Kernel::On, Wanted::Yes, Some(true) | None) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITH: &str = "nodev\tsysfs\nnodev\tselinuxfs\n\text4\n";
    const WITHOUT: &str = "nodev\tsysfs\nnodev\tsecurityfs\n\text4\n";

    #[test]
    fn the_kernel_tells_in_a_container_too() {
        let context = "system_u:system_r:container_t:s0:c1,c2\0";
        let cases = [
            (WITH, context, Kernel::On),
            (WITH, "user:role:type_t", Kernel::On),
            // The list of file systems can be masked; a context can not.
            ("", context, Kernel::On),
            (WITH, "kernel\n", Kernel::NoPolicy),
            (WITH, "", Kernel::NoPolicy),
            (WITHOUT, "unconfined\n", Kernel::Off),
            (
                WITHOUT,
                "cri-containerd.apparmor.d (enforce)\n",
                Kernel::Off,
            ),
            (WITHOUT, ":ns://a b:c:d (complain)\n", Kernel::Off),
            (WITHOUT, "", Kernel::Off),
            ("nodev\tselinuxfs2\n", "", Kernel::Off),
        ];
        for (filesystems, current, expected) in cases {
            assert_eq!(kernel(filesystems, current), expected, "{current:?}");
        }
    }

    #[test]
    fn the_first_thing_to_change_is_told() {
        let told = |kernel, wanted, daemon| found(kernel, wanted, daemon).unwrap_or_default();
        assert!(told(Kernel::Off, Wanted::No, None).contains("security=selinux"));
        assert!(told(Kernel::NoPolicy, Wanted::Yes, None).contains("/etc/selinux/config"));
        assert!(told(Kernel::On, Wanted::No, Some(false)).contains("spec.selinux.enable "));
        assert!(told(Kernel::On, Wanted::Yes, Some(false)).contains("selinuxd does not answer"));
        assert_eq!(told(Kernel::On, Wanted::Yes, Some(true)), "");
        assert_eq!(told(Kernel::On, Wanted::Yes, None), "");
    }
}
