//! What the schema does not refuse and a container start would, or what does not do what it says.
//!
//! The texts name field, value and fix. Sources: runc 1.5, libcontainer/seccomp/seccomp_linux.go and
//! config.go; crun 1.29, src/libcrun/seccomp.c; libseccomp 2.5.4, src/db.c; Linux, kernel/seccomp.c.

use std::fmt;

use spo_api::seccomp_profile::{Action, Arch, Arg, Flag, Operator, SeccompProfileSpec, Syscall};

mod rules;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does not do what it seems to say, or not under every container runtime.
    Warning,
    /// Containers with this profile do not start.
    Error,
}

/// Something wrong with a profile. `Display` names the field, the value and the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The path of the field, for example `spec.syscalls[0].args[1].index`.
    pub field: String,
    /// The value, what it leads to, and the fix.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Finds the problems of a profile whose base profiles are resolved, in the order of the fields.
///
/// Without an [`Severity::Error`] runc and crun start containers with the profile, as far as the
/// profile alone can tell; without any problem [`decide`](super::decide) is what the kernel does.
pub fn validate(spec: &SeccompProfileSpec) -> Vec<Problem> {
    let mut problems = Problems::default();
    default_action(spec, &mut problems);
    architectures(&spec.architectures, &mut problems);
    listener(spec, &mut problems);
    for (index, entry) in spec.syscalls.iter().enumerate() {
        let field = format!("spec.syscalls[{index}]");
        names(entry, &field, &mut problems);
        errno(entry, &field, &mut problems);
        for (index, arg) in entry.args.iter().enumerate() {
            argument(arg, &format!("{field}.args[{index}]"), &mut problems);
        }
    }
    rules::check_combinations(spec, &mut problems);
    flags(spec, &mut problems);
    problems.0
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn error(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let (field, message) = (field.into(), message.into());
        self.0.push(Problem {
            severity: Severity::Error,
            field,
            message,
        });
    }

    fn warning(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let (field, message) = (field.into(), message.into());
        self.0.push(Problem {
            severity: Severity::Warning,
            field,
            message,
        });
    }
}

fn default_action(spec: &SeccompProfileSpec, problems: &mut Problems) {
    if spec.default_action == Action::Notify {
        problems.error(
            "spec.defaultAction",
            "SCMP_ACT_NOTIFY would ask the agent about the system call that connects to it; use \
             it in spec.syscalls only",
        );
    }
}

/// libseccomp puts no architectures of different byte order into one filter (db_col_db_add).
fn architectures(architectures: &[Arch], problems: &mut Problems) {
    let field = |index: usize| format!("spec.architectures[{index}]");
    let big_endian = architectures
        .iter()
        .filter(|arch| is_big_endian(**arch) == Some(true));
    let little_endian = architectures
        .iter()
        .find(|arch| is_big_endian(**arch) == Some(false));
    for (big, little) in big_endian.zip(little_endian).take(1) {
        problems.error(
            "spec.architectures",
            format!("{big} and {little} differ in byte order; write one profile for each"),
        );
    }
    for (index, arch) in architectures
        .iter()
        .enumerate()
        .filter(|(_, arch)| !is_known_to_runc(**arch))
    {
        problems.warning(
            field(index),
            format!("{arch} is not known to runc; remove it, the native one is always included"),
        );
    }
}

fn is_big_endian(arch: Arch) -> Option<bool> {
    match arch {
        Arch::Native => None,
        Arch::Mips
        | Arch::Mips64
        | Arch::Mips64N32
        | Arch::Ppc
        | Arch::Ppc64
        | Arch::S390
        | Arch::S390x
        | Arch::Parisc
        | Arch::Parisc64
        | Arch::M68k
        | Arch::Sheb => Some(true),
        Arch::X86
        | Arch::X86_64
        | Arch::X32
        | Arch::Arm
        | Arch::Aarch64
        | Arch::Mipsel
        | Arch::Mipsel64
        | Arch::Mipsel64N32
        | Arch::Ppc64le
        | Arch::Riscv64
        | Arch::Loongarch64
        | Arch::Sh => Some(false),
    }
}

fn is_known_to_runc(arch: Arch) -> bool {
    !matches!(
        arch,
        Arch::Native | Arch::Parisc | Arch::Parisc64 | Arch::M68k | Arch::Sh | Arch::Sheb
    )
}

fn listener(spec: &SeccompProfileSpec, problems: &mut Problems) {
    let has_path = spec
        .listener_path
        .as_deref()
        .is_some_and(|path| !path.is_empty());
    let notifies = spec
        .syscalls
        .iter()
        .position(|entry| entry.action == Action::Notify);
    match notifies {
        Some(index) if !has_path => problems.error(
            format!("spec.syscalls[{index}].action"),
            "SCMP_ACT_NOTIFY needs an agent; set spec.listenerPath to its socket",
        ),
        None if has_path => problems.warning(
            "spec.listenerPath",
            "no rule has SCMP_ACT_NOTIFY, so the agent is asked nothing; add such a rule or \
             remove the field",
        ),
        _ => {}
    }
}

fn names(entry: &Syscall, field: &str, problems: &mut Problems) {
    for (index, name) in entry.names.iter().enumerate() {
        if name.is_empty() {
            problems.error(
                format!("{field}.names[{index}]"),
                "\"\" is not a name; remove it",
            );
        }
        if name == "write" && entry.action == Action::Notify {
            problems.error(
                format!("{field}.names[{index}]"),
                "write can not have SCMP_ACT_NOTIFY, because the runtime needs it to connect to \
                 the agent; remove it from this rule",
            );
        }
    }
}

/// Largest error number that a kernel returns (Linux, `MAX_ERRNO`); it cuts larger ones to that.
const ERRNO_MAX: i32 = 4095;

fn errno(entry: &Syscall, field: &str, problems: &mut Problems) {
    let Some(number) = entry.errno_ret.filter(|number| *number != 0) else {
        return;
    };
    let field = format!("{field}.errnoRet");
    match entry.action {
        Action::Errno if !(1..=ERRNO_MAX).contains(&number) => problems.warning(
            field,
            format!("{number} is not an error number; use one from 1 to {ERRNO_MAX}"),
        ),
        Action::Trace if !(1..=i32::from(u16::MAX)).contains(&number) => problems.warning(
            field,
            format!(
                "{number} does not fit into 16 bits; use one from 1 to {}",
                u16::MAX
            ),
        ),
        Action::Errno | Action::Trace => {}
        action => problems.warning(
            field,
            format!("{number} has no meaning for {action}, and crun refuses it; remove the field"),
        ),
    }
}

/// Highest index of an argument of a system call.
const INDEX_MAX: i32 = 5;

fn argument(arg: &Arg, field: &str, problems: &mut Problems) {
    if !(0..=INDEX_MAX).contains(&arg.index) {
        let message = format!(
            "{} is not an argument; they count from 0 to {INDEX_MAX}",
            arg.index
        );
        problems.error(format!("{field}.index"), message);
    }
    let (value, value_two) = (
        arg.value.unwrap_or_default(),
        arg.value_two.unwrap_or_default(),
    );
    for (name, operand) in [("value", value), ("valueTwo", value_two)] {
        if operand < 0 {
            let message = format!("{operand} is negative; use a number from 0 on");
            problems.error(format!("{field}.{name}"), message);
        }
    }
    match arg.op {
        Operator::MaskedEqual if value == 0 => problems.warning(
            format!("{field}.value"),
            "the mask is 0, so that the condition always holds; set the bits to compare",
        ),
        Operator::MaskedEqual if value_two & !value != 0 => problems.warning(
            format!("{field}.valueTwo"),
            format!(
                "{value_two} has bits outside the mask {value}, which are ignored; remove them"
            ),
        ),
        Operator::Less if value == 0 => problems.warning(
            format!("{field}.value"),
            "no argument is less than 0, so that the rule never applies; remove it",
        ),
        _ => {}
    }
}

fn flags(spec: &SeccompProfileSpec, problems: &mut Problems) {
    let notifies = spec
        .syscalls
        .iter()
        .any(|entry| entry.action == Action::Notify);
    for (index, flag) in spec.flags.iter().enumerate() {
        if *flag == Flag::WaitKillableRecv && !notifies {
            problems.error(
                format!("spec.flags[{index}]"),
                format!("{flag} needs a rule with SCMP_ACT_NOTIFY; add one or remove the flag"),
            );
        }
    }
}

#[cfg(test)]
mod tests;
