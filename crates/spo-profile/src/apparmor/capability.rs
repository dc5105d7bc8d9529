//! Pure. The names of capabilities.

use std::fmt;

use super::problem::Wrong;

/// The names which AppArmor profiles may hold.
pub(super) const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// A capability, in the spelling of AppArmor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capability(&'static str);

impl Capability {
    /// For raw access to devices.
    pub(super) const SYS_RAWIO: Self = Self("sys_rawio");

    /// Reads a name, whatever its case.
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let name = text.trim().to_lowercase();
        NAMES
            .into_iter()
            .find(|known| *known == name)
            .map(Self)
            .ok_or_else(|| {
                Wrong::new(
                    format!("validating capability: invalid or forbidden capability: {text:?}"),
                    "write a name from capabilities(7) without CAP_, for example net_bind_service",
                )
            })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_blanks_do_not_matter() {
        for text in ["net_admin", "NET_ADMIN", " Net_Admin\n"] {
            assert_eq!(Capability::parse(text).unwrap().to_string(), "net_admin");
        }
        for text in ["", "CAP_NET_ADMIN", "net_admin, file", "net admin", "all"] {
            let wrong = Capability::parse(text).unwrap_err();
            assert_eq!(
                wrong.message,
                format!("validating capability: invalid or forbidden capability: {text:?}")
            );
        }
    }
}
