//! Which boot of the machine this is.

use std::fs;

/// Differs after each boot, and is the same in every container. `None` if the kernel does not tell.
pub fn id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = id.trim();
    (!id.is_empty()).then(|| id.to_owned())
}
