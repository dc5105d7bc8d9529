//! A classic BPF machine, as far as seccomp filters of libseccomp need one.
//!
//! Source: linux/filter.h, net/core/filter.c and kernel/seccomp.c: the program sees a
//! `struct seccomp_data` in words of 32 bits and returns one of the SECCOMP_RET values.

use spo_api::seccomp_profile::Action;

/// One system call as the kernel presents it to a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The number on that architecture.
    pub number: i32,
    /// AUDIT_ARCH_*, linux/audit.h.
    pub arch: u32,
    /// The arguments, whether the system call has so many or not.
    pub args: [u64; 6],
}

/// The architecture which the tests run on: AUDIT_ARCH_X86_64.
#[cfg(target_arch = "x86_64")]
pub const NATIVE: u32 = 0xC000_003E;

/// The architecture which the tests run on: AUDIT_ARCH_AARCH64.
#[cfg(target_arch = "aarch64")]
pub const NATIVE: u32 = 0xC000_00B7;

/// What a filter decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What happens. Never `Kill`, which is another name of `KillThread`.
    pub action: Action,
    /// The error number, or what the tracer gets.
    pub data: u16,
}

/// The program of a filter.
#[derive(Debug, Clone)]
pub struct Program(Vec<Instruction>);

impl Program {
    /// Reads an exported program: an array of `struct sock_filter`, native endian.
    ///
    /// # Panics
    ///
    /// If it ends within an instruction.
    pub fn decode(bytes: &[u8]) -> Self {
        let (instructions, rest) = bytes.as_chunks();
        assert!(rest.is_empty(), "the program ends within an instruction");
        Self(instructions.iter().map(Instruction::decode).collect())
    }

    /// Runs the program on one system call.
    ///
    /// # Panics
    ///
    /// If it has an instruction which libseccomp does not use, or leaves itself.
    pub fn run(&self, call: &Call) -> Verdict {
        run(&self.0, call)
    }
}

/// struct sock_filter.
#[derive(Debug, Clone, Copy)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    k: u32,
}

impl Instruction {
    fn decode(bytes: &[u8; 8]) -> Self {
        let [c0, c1, jump_true, jump_false, k0, k1, k2, k3] = *bytes;
        let code = u16::from_ne_bytes([c0, c1]);
        Self {
            code,
            jump_true,
            jump_false,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        }
    }
}

fn run(instructions: &[Instruction], call: &Call) -> Verdict {
    let words = words(call);
    let (mut accumulator, mut at) = (0_u32, 0_usize);
    loop {
        let Instruction {
            code,
            jump_true,
            jump_false,
            k,
        } = instructions[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { jump_true } else { jump_false });
        match code {
            // BPF_LD | BPF_W | BPF_ABS
            0x20 => accumulator = words[k as usize / 4],
            // BPF_ALU | BPF_AND | BPF_K
            0x54 => accumulator &= k,
            // BPF_JMP | BPF_JA
            0x05 => at += k as usize,
            // BPF_JMP | BPF_JEQ, JGT, JGE, JSET | BPF_K
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x45 => at += jump(accumulator & k != 0),
            // BPF_RET | BPF_K
            0x06 => return verdict(k),
            code => panic!("instruction {at} has code {code:#x}"),
        }
    }
}

/// struct seccomp_data: number, architecture, instruction pointer, arguments.
fn words(call: &Call) -> [u32; 16] {
    let mut bytes = [0; 64];
    bytes[0..4].copy_from_slice(&call.number.to_ne_bytes());
    bytes[4..8].copy_from_slice(&call.arch.to_ne_bytes());
    for (index, argument) in call.args.iter().enumerate() {
        bytes[16 + 8 * index..][..8].copy_from_slice(&argument.to_ne_bytes());
    }
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|word| u32::from_ne_bytes(words[word]))
}

/// linux/seccomp.h, SECCOMP_RET_*.
fn verdict(value: u32) -> Verdict {
    let action = match value & 0xffff_0000 {
        0x8000_0000 => Action::KillProcess,
        0x0000_0000 => Action::KillThread,
        0x0003_0000 => Action::Trap,
        0x0005_0000 => Action::Errno,
        0x7fc0_0000 => Action::Notify,
        0x7ff0_0000 => Action::Trace,
        0x7ffc_0000 => Action::Log,
        0x7fff_0000 => Action::Allow,
        other => panic!("the program returns {other:#x}"),
    };
    Verdict {
        action,
        data: value as u16,
    }
}
