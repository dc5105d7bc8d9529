//! The filter which libseccomp makes of a profile, built as runc builds it, and run here.
//!
//! Source: runc, libcontainer/seccomp/seccomp_linux.go, InitSeccomp and matchCall.

use std::collections::BTreeSet;
use std::io::Read;

use libseccomp::error::SeccompError;
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use spo_api::seccomp_profile::{Action, Arg, Operator, SeccompProfileSpec, Syscall};

/// One instruction of classic BPF (Linux, `struct sock_filter`).
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    operand: u32,
}

/// A filter for x86_64.
pub struct Filter(Vec<Instruction>);

/// Builds the filter of a profile.
pub fn build(spec: &SeccompProfileSpec) -> Result<Filter, SeccompError> {
    let default = action(spec.default_action, None);
    let mut context = ScmpFilterContext::new(default)?;
    context.add_arch(ScmpArch::X8664)?;
    for entry in &spec.syscalls {
        add(&mut context, default, entry)?;
    }
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    // A program of 4096 instructions fits into the buffer of a pipe.
    context.export_bpf(&writer)?;
    drop(writer);
    let mut bytes = vec![];
    reader.read_to_end(&mut bytes).expect("what was written");
    Ok(Filter(bytes.chunks_exact(8).map(instruction).collect()))
}

fn add(
    context: &mut ScmpFilterContext,
    default: ScmpAction,
    entry: &Syscall,
) -> Result<(), SeccompError> {
    let action = action(entry.action, entry.errno_ret);
    if action == default {
        return Ok(());
    }
    let comparators: Vec<ScmpArgCompare> = entry.args.iter().map(comparator).collect();
    let indices: BTreeSet<i32> = entry.args.iter().map(|arg| arg.index).collect();
    for name in &entry.names {
        let syscall = ScmpSyscall::from_name(name)?;
        if comparators.is_empty() {
            context.add_rule(action, syscall)?;
        } else if indices.len() == comparators.len() {
            context.add_rule_conditional(action, syscall, &comparators)?;
        } else {
            for comparator in &comparators {
                context.add_rule_conditional(action, syscall, &[*comparator])?;
            }
        }
    }
    Ok(())
}

fn action(action: Action, errno_ret: Option<i32>) -> ScmpAction {
    let number = errno_ret.filter(|number| *number != 0).unwrap_or(1);
    match action {
        Action::Kill | Action::KillThread => ScmpAction::KillThread,
        Action::KillProcess => ScmpAction::KillProcess,
        Action::Trap => ScmpAction::Trap,
        Action::Errno => ScmpAction::Errno(number),
        Action::Trace => ScmpAction::Trace(number as u16),
        Action::Allow => ScmpAction::Allow,
        Action::Log => ScmpAction::Log,
        Action::Notify => ScmpAction::Notify,
    }
}

fn comparator(arg: &Arg) -> ScmpArgCompare {
    let value = arg.value.unwrap_or_default().cast_unsigned();
    let two = arg.value_two.unwrap_or_default().cast_unsigned();
    let (op, operand) = match arg.op {
        Operator::NotEqual => (ScmpCompareOp::NotEqual, value),
        Operator::Less => (ScmpCompareOp::Less, value),
        Operator::LessEqual => (ScmpCompareOp::LessOrEqual, value),
        Operator::Equal => (ScmpCompareOp::Equal, value),
        Operator::GreaterEqual => (ScmpCompareOp::GreaterEqual, value),
        Operator::Greater => (ScmpCompareOp::Greater, value),
        Operator::MaskedEqual => (ScmpCompareOp::MaskedEqual(value), two),
    };
    ScmpArgCompare::new(arg.index.cast_unsigned(), op, operand)
}

fn instruction(bytes: &[u8]) -> Instruction {
    Instruction {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        if_true: bytes[2],
        if_false: bytes[3],
        operand: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    }
}

/// `AUDIT_ARCH_X86_64` (Linux, include/uapi/linux/audit.h).
const AUDIT_ARCH: u32 = 0xc000_003e;

impl Filter {
    /// What the kernel would do: the value that the program returns, as an action.
    pub fn decide(&self, name: &str, args: &[u64; 6]) -> Action {
        let number: i32 = ScmpSyscall::from_name(name)
            .expect("a known system call")
            .into();
        let mut data = vec![];
        data.extend(number.to_ne_bytes());
        data.extend(AUDIT_ARCH.to_ne_bytes());
        data.extend(0u64.to_ne_bytes());
        data.extend(args.iter().flat_map(|arg| arg.to_ne_bytes()));
        match self.run(&data) & 0xffff_0000 {
            0x7fff_0000 => Action::Allow,
            0x7ffc_0000 => Action::Log,
            0x7ff0_0000 => Action::Trace,
            0x7fc0_0000 => Action::Notify,
            0x0005_0000 => Action::Errno,
            0x0003_0000 => Action::Trap,
            0x0000_0000 => Action::Kill,
            0x8000_0000 => Action::KillProcess,
            other => panic!("unknown action {other:#x}"),
        }
    }

    /// Runs the program on a `struct seccomp_data`. libseccomp uses these instructions only.
    fn run(&self, data: &[u8]) -> u32 {
        let mut accumulator = 0;
        let mut position = 0;
        loop {
            let Instruction {
                code,
                if_true,
                if_false,
                operand,
            } = &self.0[position];
            position += 1;
            let branch = |taken: bool| usize::from(if taken { *if_true } else { *if_false });
            match code {
                0x20 => {
                    let bytes = &data[*operand as usize..][..4];
                    accumulator = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                }
                0x54 => accumulator &= operand,
                0x05 => position += *operand as usize,
                0x15 => position += branch(accumulator == *operand),
                0x25 => position += branch(accumulator > *operand),
                0x35 => position += branch(accumulator >= *operand),
                0x45 => position += branch(accumulator & operand != 0),
                0x06 => return *operand,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }
}
