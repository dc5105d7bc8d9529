//! From a profile to the rules of libseccomp, step by step what runc does.

use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use spo_api::seccomp_profile::{Action, Flag, Operator};

use crate::seccomp::document::{Condition, Document, Entry};
use crate::seccomp::{Error, scmp_arch};

/// What `SCMP_ACT_ERRNO` and `SCMP_ACT_TRACE` return when nothing is said.
const EPERM: u32 = 1;

/// From how many rules on runc asks for a binary tree. Below, the tree is no faster, and with no
/// rule at all libseccomp up to 2.5.4 gets it wrong.
const TREE_MIN: usize = 33;

/// libseccomp's level for a binary tree: seccomp_attr_set(3), SCMP_FLTATR_CTL_OPTIMIZE.
const TREE: u32 = 2;

/// Compiles a profile, and returns the names which libseccomp does not know.
pub(super) fn compile(document: &Document) -> Result<(ScmpFilterContext, Vec<String>), Error> {
    let entries = document.syscalls.as_deref().unwrap_or_default();
    check(document.default_action, entries)?;
    let default = action(document.default_action, document.default_errno_ret);
    let mut context = ScmpFilterContext::new(default).map_err(Error::Create)?;
    for arch in document.architectures.as_deref().unwrap_or_default() {
        context
            .add_arch(scmp_arch(*arch))
            .map_err(|source| Error::Arch {
                arch: *arch,
                source,
            })?;
    }
    set_flags(&mut context, document.flags.as_deref(), entries)?;
    let calls = || {
        entries
            .iter()
            .flat_map(|entry| entry.names.iter().flatten().map(move |name| (entry, name)))
    };
    if calls().count() >= TREE_MIN {
        // An older library has no tree; then the filter is as right, and slower.
        context.set_ctl_optimize(TREE).ok();
    }
    let mut skipped = Vec::new();
    for (entry, name) in calls() {
        let action = action(entry.action, entry.errno_ret);
        if action == default {
            // Redundant, and libseccomp would refuse it.
            continue;
        }
        match ScmpSyscall::from_name(name) {
            Ok(syscall) => {
                add(&mut context, action, syscall, entry).map_err(|source| Error::Rule {
                    syscall: name.clone(),
                    source,
                })?
            }
            Err(_) => skipped.push(name.clone()),
        }
    }
    Ok((context, skipped))
}

fn check(default: Action, entries: &[Entry]) -> Result<(), Error> {
    if default == Action::Notify {
        return Err(Error::NotifyByDefault);
    }
    let notified = entries
        .iter()
        .filter(|entry| entry.action == Action::Notify);
    if notified
        .flat_map(|entry| entry.names.iter().flatten())
        .any(|name| name == "write")
    {
        return Err(Error::NotifyOnWrite);
    }
    Ok(())
}

/// As in runc, `SCMP_ACT_KILL` kills the thread, and of a number only the lower 16 bits count.
fn action(action: Action, errno_ret: Option<u32>) -> ScmpAction {
    let number = errno_ret.unwrap_or(EPERM) as u16;
    match action {
        Action::Kill | Action::KillThread => ScmpAction::KillThread,
        Action::KillProcess => ScmpAction::KillProcess,
        Action::Trap => ScmpAction::Trap,
        Action::Errno => ScmpAction::Errno(number.into()),
        Action::Trace => ScmpAction::Trace(number),
        Action::Allow => ScmpAction::Allow,
        Action::Log => ScmpAction::Log,
        Action::Notify => ScmpAction::Notify,
    }
}

fn set_flags(
    context: &mut ScmpFilterContext,
    flags: Option<&[Flag]>,
    entries: &[Entry],
) -> Result<(), Error> {
    match flags {
        Some(flags) => {
            for flag in flags {
                set_flag(context, *flag).map_err(|source| Error::Flag {
                    flag: *flag,
                    source,
                })?;
            }
        }
        // runc's default where the kernel has it; where not, it does without.
        None => {
            set_flag(context, Flag::SpecAllow).ok();
        }
    }
    // Always, like libseccomp-golang: a filter on one thread of a process confines nothing. The
    // kernel refuses it together with a listener.
    if entries.iter().all(|entry| entry.action != Action::Notify) {
        context.set_ctl_tsync(true).map_err(|source| Error::Flag {
            flag: Flag::Tsync,
            source,
        })?;
    }
    Ok(())
}

fn set_flag(context: &mut ScmpFilterContext, flag: Flag) -> Result<(), SeccompError> {
    match flag {
        Flag::Tsync => Ok(()),
        Flag::Log => context.set_ctl_log(true).map(drop),
        Flag::SpecAllow => context.set_ctl_ssb(true).map(drop),
        Flag::WaitKillableRecv => context.set_ctl_waitkill(true).map(drop),
    }
}

/// Adds the rule of one system call. All conditions must hold, but if two of them are about the
/// same argument, each becomes a rule of its own, so that any of them is enough.
fn add(
    context: &mut ScmpFilterContext,
    action: ScmpAction,
    syscall: ScmpSyscall,
    entry: &Entry,
) -> Result<(), SeccompError> {
    let conditions = entry.args.as_deref().unwrap_or_default();
    let compared: Vec<_> = conditions.iter().map(compare).collect();
    let repeats = |condition: &Condition| {
        conditions
            .iter()
            .filter(|other| other.index == condition.index)
            .count()
            > 1
    };
    if conditions.iter().any(repeats) {
        for condition in compared {
            context.add_rule_conditional(action, syscall, &[condition])?;
        }
    } else {
        context.add_rule_conditional(action, syscall, &compared)?;
    }
    Ok(())
}

fn compare(condition: &Condition) -> ScmpArgCompare {
    let value = condition.value.unwrap_or_default();
    let (operator, datum) = match condition.op {
        Operator::NotEqual => (ScmpCompareOp::NotEqual, value),
        Operator::Less => (ScmpCompareOp::Less, value),
        Operator::LessEqual => (ScmpCompareOp::LessOrEqual, value),
        Operator::Equal => (ScmpCompareOp::Equal, value),
        Operator::GreaterEqual => (ScmpCompareOp::GreaterEqual, value),
        Operator::Greater => (ScmpCompareOp::Greater, value),
        Operator::MaskedEqual => (
            ScmpCompareOp::MaskedEqual(value),
            condition.value_two.unwrap_or_default(),
        ),
    };
    ScmpArgCompare::new(condition.index, operator, datum)
}
