//! Pure. A profile whose values are all typed, and the text that it becomes.
//!
//! The text is that of upstream but for blank lines, so that a node which changes over loads the
//! same policy.

use std::fmt;

use spo_api::apparmor_profile::rules::{FileRule, Transition};
use spo_api::apparmor_profile::{self as api, Abstract, AppArmorProfileSpec, Mode};

use super::capability::Capability;
use super::classes::{self, Classes};
use super::glob::{Glob, Literal};
use super::path::{Entry, Path};
use super::problem::{Problems, Refused, Wrong};
use super::text::Text;
use super::word::{Name, letters};

/// A checked profile.
pub(super) struct Profile {
    name: Name,
    mode: Mode,
    files: Files,
    capabilities: Vec<Capability>,
    executables: Executables,
    network: Option<api::Network>,
    classes: Classes,
}

#[derive(Default)]
struct Files {
    read_only: Vec<Path>,
    write_only: Vec<Path>,
    read_write: Vec<Entry>,
    allowed: Vec<(Glob, String)>,
    denied: Vec<(Glob, String)>,
}

#[derive(Default)]
struct Executables {
    allowed: Vec<Path>,
    libraries: Vec<Path>,
    denied: Vec<Glob>,
    transitions: Vec<(Literal, Name)>,
}

/// What the work-around of [`Profile::mounts_devices`] runs.
const FSCK: [&str; 2] = ["/sbin/fsck", "/sbin/fsck.ext4"];

impl Profile {
    /// Makes values of the fields, in the order of upstream's checks.
    pub(super) fn check(name: &str, spec: &AppArmorProfileSpec) -> Result<Self, Refused> {
        let mut problems = Problems::default();
        let name = Name::parse(name).map_err(|wrong| Refused::one(super::NAME, wrong))?;
        let rules = spec.r#abstract.clone().unwrap_or_default();
        let files = files(&rules, &mut problems);
        let allowed = rules
            .capability
            .iter()
            .flat_map(|it| &it.allowed_capabilities);
        let capabilities = problems.keep_all(
            "spec.abstract.capability.allowedCapabilities",
            allowed,
            Capability::parse,
        );
        let executables = executables(&rules, &mut problems);
        let classes = Classes::check(&rules, &mut problems);
        problems.or(Self {
            name,
            mode: spec.mode,
            files,
            capabilities,
            executables,
            network: rules.network,
            classes,
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
        for path in &self.executables.allowed {
            to.rule(format_args!("{path} ixr"));
        }
        for path in &self.executables.libraries {
            to.rule(format_args!("{path} mr"));
        }
        for path in FSCK.iter().filter(|_| self.mounts_devices()) {
            to.rule(format_args!("{path} ixr"));
        }
        for (path, profile) in &self.executables.transitions {
            to.rule(format_args!("{path} rPx -> \"{profile}\""));
        }
        for path in self.executables.denied.iter().filter(|_| self.enforces()) {
            to.rule(format_args!("deny {path} x"));
        }
    }

    /// Denials win over what other rules allow, and are left out of a profile which only complains:
    /// what is denied there is denied, and nobody is told.
    fn file_rules(&self, to: &mut Text) {
        to.section("Filesystem rules");
        let files = &self.files;
        for (paths, allowed, denied) in [
            (&files.read_only, "r", "wlk"),
            (&files.write_only, "wlk", "r"),
        ] {
            for path in paths {
                to.rule(format_args!("{path} {allowed}"));
            }
            for path in paths.iter().filter(|_| self.enforces()) {
                to.rule(format_args!("deny {path} {denied}"));
            }
        }
        for entry in &files.read_write {
            match entry {
                Entry::Path(path) => to.rule(format_args!("{path} rwlk")),
                Entry::Ptrace(access) => to.rule(format_args!("ptrace ({access})")),
            }
        }
        for (path, access) in &files.allowed {
            to.rule(format_args!("{path} {access}"));
        }
        for (path, access) in files.denied.iter().filter(|_| self.enforces()) {
            to.rule(format_args!("deny {path} {access}"));
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
                to.rule(rule);
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
        let mut rules = Text::default();
        self.executable_rules(&mut rules);
        self.file_rules(&mut rules);
        self.network_rules(&mut rules);
        self.capability_rules(&mut rules);
        self.classes.write(&mut rules);
        rules.section("Raw rules placeholder");
        let (name, header, mode) = (&self.name, super::HEADER, super::mode(self.mode));
        write!(
            f,
            "\n{header}\n#include <tunables/global>\n\
             profile {name} flags=({mode},attach_disconnected,mediate_deleted) {{\n  \
             #include <abstractions/base>\n{}",
            rules.as_str()
        )?;
        if self.enforces() {
            f.write_str(DEFAULT_DENY)?;
        }
        f.write_str("}\n")
    }
}

fn files(rules: &Abstract, problems: &mut Problems) -> Files {
    let Some(files) = &rules.filesystem else {
        return Files::default();
    };
    let field = |name: &str| format!("spec.abstract.filesystem.{name}");
    let (read, write, both) = ("readOnlyPaths", "writeOnlyPaths", "readWritePaths");
    Files {
        read_only: problems.keep_all(&field(read), &files.read_only_paths, Path::parse),
        write_only: problems.keep_all(&field(write), &files.write_only_paths, Path::parse),
        read_write: problems.keep_all(&field(both), &files.read_write_paths, Entry::parse),
        allowed: file_rules(&field("allowedPaths"), &files.allowed_paths, problems),
        denied: file_rules(&field("deniedPaths"), &files.denied_paths, problems),
    }
}

fn file_rules(field: &str, rules: &[FileRule], problems: &mut Problems) -> Vec<(Glob, String)> {
    let mut kept = vec![];
    for (index, rule) in rules.iter().enumerate() {
        let field = format!("{field}[{index}]");
        classes::some_access(&rule.access, &field, problems);
        let path = problems.keep(&format!("{field}.path"), Glob::parse(&rule.path));
        kept.extend(path.map(|path| (path, letters(&rule.access))));
    }
    kept
}

fn executables(rules: &Abstract, problems: &mut Problems) -> Executables {
    let Some(executable) = &rules.executable else {
        return Executables::default();
    };
    let field = |name: &str| format!("spec.abstract.executable.{name}");
    let (allowed, libraries) = ("allowedExecutables", "allowedLibraries");
    let parse = Path::parse_executable;
    Executables {
        allowed: problems.keep_all(&field(allowed), &executable.allowed_executables, parse),
        libraries: problems.keep_all(&field(libraries), &executable.allowed_libraries, parse),
        denied: problems.keep_all(
            &field("deniedExecutables"),
            &executable.denied_executables,
            Glob::parse,
        ),
        transitions: transitions(&field("transitions"), executable, problems),
    }
}

/// A path has one way to be executed; `apparmor_parser` refuses a second one. It does prefer a path
/// to a pattern, so that a path of a transition may lie in a pattern.
fn transitions(
    field: &str,
    executable: &api::Executable,
    problems: &mut Problems,
) -> Vec<(Literal, Name)> {
    let mut taken: Vec<&str> = FSCK.to_vec();
    taken.extend(executable.allowed_executables.iter().map(String::as_str));
    let mut kept = vec![];
    for (index, Transition { path, profile }) in executable.transitions.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let literal = problems.keep(&format!("{field}.path"), Literal::parse(path));
        let name = problems.keep(&format!("{field}.profile"), Name::parse(profile));
        if taken.contains(&path.as_str()) {
            let message = format!("validating execs and libs: path is executed twice: {path:?}");
            let fix = "name it in one of allowedExecutables and transitions, and once";
            problems.push(&format!("{field}.path"), Wrong::new(message, fix));
        }
        taken.push(path);
        kept.extend(literal.zip(name));
    }
    kept
}
