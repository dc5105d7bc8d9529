//! Pure. A profile whose values are all typed, and the text that it becomes.
//!
//! The text is that of upstream but for blank lines, so that a node which changes over loads the
//! same policy.

use std::fmt;

use spo_api::apparmor_profile::{self as api, AppArmorProfileSpec, Mode};

use super::capability::Capability;
use super::path::{Entry, Path};
use super::problem::{Problems, Refused, Wrong};

/// A checked profile.
pub(super) struct Profile {
    name: Name,
    mode: Mode,
    executables: Vec<Path>,
    libraries: Vec<Path>,
    read_only: Vec<Path>,
    write_only: Vec<Path>,
    read_write: Vec<Entry>,
    network: Option<api::Network>,
    capabilities: Vec<Capability>,
}

/// The name of a profile: one word.
struct Name(String);

impl Name {
    fn parse(text: &str) -> Result<Self, Wrong> {
        let is_word = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte));
        let message = || format!("invalid profile name: {text:?}");
        if !is_word {
            let fix = "use letters, digits and _ . / - only";
            return Err(Wrong::new(message(), fix));
        }
        if text == "unconfined" {
            let fix = "give the profile another name: the kernel calls tasks so which have none";
            return Err(Wrong::new(message(), fix));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Profile {
    /// Makes values of the fields, in the order of upstream's checks.
    pub(super) fn check(name: &str, spec: &AppArmorProfileSpec) -> Result<Self, Refused> {
        let mut problems = Problems::default();
        let name = problems.keep("metadata.name", Name::parse(name));
        let rules = spec.r#abstract.clone().unwrap_or_default();

        let files = rules.filesystem.unwrap_or_default();
        let field = |name: &str| format!("spec.abstract.filesystem.{name}");
        let lists = &mut problems;
        let read_only =
            lists.keep_all(&field("readOnlyPaths"), &files.read_only_paths, Path::parse);
        let write_only = lists.keep_all(
            &field("writeOnlyPaths"),
            &files.write_only_paths,
            Path::parse,
        );
        let read_write = lists.keep_all(
            &field("readWritePaths"),
            &files.read_write_paths,
            Entry::parse,
        );

        let capabilities = problems.keep_all(
            "spec.abstract.capability.allowedCapabilities",
            &rules.capability.unwrap_or_default().allowed_capabilities,
            Capability::parse,
        );

        let executable = rules.executable.unwrap_or_default();
        let executables = problems.keep_all(
            "spec.abstract.executable.allowedExecutables",
            &executable.allowed_executables,
            Path::parse_executable,
        );
        let libraries = problems.keep_all(
            "spec.abstract.executable.allowedLibraries",
            &executable.allowed_libraries,
            Path::parse_executable,
        );

        problems.or(()).map(|()| Self {
            // A name that was not kept is a problem.
            name: name.unwrap_or(Name(String::new())),
            mode: spec.mode,
            executables,
            libraries,
            read_only,
            write_only,
            read_write,
            network: rules.network,
            capabilities,
        })
    }

    fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Devices are not checked and mounted without these rules (upstream's work-around).
    fn mounts_devices(&self) -> bool {
        self.capabilities.contains(&Capability::SYS_RAWIO)
    }

    fn executable_rules(&self, to: &mut Text) {
        to.section("Executable rules");
        for path in &self.executables {
            to.rule(format_args!("{path} ixr"));
        }
        for path in &self.libraries {
            to.rule(format_args!("{path} mr"));
        }
        if self.mounts_devices() {
            to.rule(format_args!("/sbin/fsck ixr"));
            to.rule(format_args!("/sbin/fsck.ext4 ixr"));
        }
    }

    /// The denials of the first two lists win over what other rules allow, and are left out of a
    /// profile which only complains: a denial is denied there, too.
    fn file_rules(&self, to: &mut Text) {
        to.section("Filesystem rules");
        for (paths, allowed, denied) in [
            (&self.read_only, "r", "wlk"),
            (&self.write_only, "wlk", "r"),
        ] {
            for path in paths {
                to.rule(format_args!("{path} {allowed}"));
            }
            for path in paths.iter().filter(|_| self.enforces()) {
                to.rule(format_args!("deny {path} {denied}"));
            }
        }
        for entry in &self.read_write {
            match entry {
                Entry::Path(path) => to.rule(format_args!("{path} rwlk")),
                Entry::Ptrace(access) => to.rule(format_args!("ptrace ({access})")),
            }
        }
    }

    fn network_rules(&self, to: &mut Text) {
        to.section("Network rules");
        let Some(network) = &self.network else {
            return;
        };
        if network.allow_raw == Some(true) {
            to.rule(format_args!("network raw"));
        } else if self.enforces() {
            to.rule(format_args!("deny network raw"));
        }
        let protocols = network.allowed_protocols.clone().unwrap_or_default();
        if protocols.allow_tcp == Some(true) {
            to.rule(format_args!("network tcp"));
        }
        if protocols.allow_udp == Some(true) {
            to.rule(format_args!("network udp"));
        }
    }

    fn capability_rules(&self, to: &mut Text) {
        to.section("Capabilities rules");
        for capability in &self.capabilities {
            to.rule(format_args!("capability {capability}"));
        }
        if self.mounts_devices() {
            for rule in ["mount", "remount", "umount"] {
                to.rule(format_args!("{rule}"));
            }
        }
    }
}

/// What no workload may do, even if another rule allows it.
const DEFAULT_DENY: &str = "
  # Add default deny for known information leak/priv esc paths
  deny @{PROC}/* w,   # deny write for all files directly in /proc (not in a subdir)
  deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9]*}/** w,
  deny @{PROC}/sys/[^k]** w,  # deny /proc/sys except /proc/sys/k* (effectively /proc/sys/kernel)
  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,  # deny everything except shm* in /proc/sys/kernel/
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/mem rwklx,
  deny @{PROC}/kmem rwklx,
  deny @{PROC}/kcore rwklx,
  deny /sys/firmware/efi/efivars/** rwklx,
";

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules = Text(String::new());
        self.executable_rules(&mut rules);
        self.file_rules(&mut rules);
        self.network_rules(&mut rules);
        self.capability_rules(&mut rules);
        rules.section("Raw rules placeholder");
        let Self {
            name: Name(name),
            mode,
            ..
        } = self;
        let (header, mode) = (super::HEADER, super::mode(*mode));
        write!(
            f,
            "\n{header}\n#include <tunables/global>\n\
             profile {name} flags=({mode},attach_disconnected,mediate_deleted) {{\n  \
             #include <abstractions/base>\n{}",
            rules.0
        )?;
        if self.enforces() {
            f.write_str(DEFAULT_DENY)?;
        }
        f.write_str("}\n")
    }
}

/// Rules as text.
struct Text(String);

impl Text {
    fn section(&mut self, title: &str) {
        self.0.push_str(&format!("\n  # {title}\n"));
    }

    fn rule(&mut self, rule: fmt::Arguments<'_>) {
        self.0.push_str(&format!("  {rule},\n"));
    }
}
