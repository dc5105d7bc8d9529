//! Which system calls an architecture has, by two tables.

use libseccomp::{ScmpArch, ScmpSyscall};
use spo_api::seccomp_profile::Arch;

use crate::seccomp::{native_arch, scmp_arch};

/// Whether the architecture has a system call of that name, or may have one for all we know.
pub(super) fn may_have(arch: Arch, name: &str) -> bool {
    let arch = if arch == Arch::Native {
        native_arch()
    } else {
        arch
    };
    match (by_crate(arch, name), by_libseccomp(scmp_arch(arch), name)) {
        (None, None) => true,
        (by_crate, by_libseccomp) => {
            by_crate.unwrap_or_default() || by_libseccomp.unwrap_or_default()
        }
    }
}

/// The bit that marks the numbers of x32.
const X32_BIT: u32 = 0x4000_0000;

/// The name of a number on an architecture.
pub(super) fn name_of(arch: Arch, number: u32) -> Option<String> {
    let arch = if arch == Arch::Native {
        native_arch()
    } else {
        arch
    };
    let marked = if arch == Arch::X32 {
        number | X32_BIT
    } else {
        number
    };
    // libseccomp has negative numbers of its own for calls that an architecture lacks; the kernel
    // has none.
    let raw = i32::try_from(marked).ok()?;
    let by_libseccomp = ScmpSyscall::from(raw).get_name_by_arch(scmp_arch(arch));
    by_libseccomp
        .ok()
        .or_else(|| name_by_crate(arch, number & !X32_BIT))
}

fn name_by_crate(arch: Arch, number: u32) -> Option<String> {
    let number = usize::try_from(number).ok()?;
    let name = match arch {
        Arch::X86 => syscalls::x86::Sysno::new(number)?.name(),
        Arch::X86_64 => syscalls::x86_64::Sysno::new(number)?.name(),
        Arch::Arm => syscalls::arm::Sysno::new(number)?.name(),
        Arch::Aarch64 => syscalls::aarch64::Sysno::new(number)?.name(),
        Arch::S390x => syscalls::s390x::Sysno::new(number)?.name(),
        Arch::Ppc64 | Arch::Ppc64le => syscalls::powerpc64::Sysno::new(number)?.name(),
        Arch::Riscv64 => syscalls::riscv64::Sysno::new(number)?.name(),
        _ => return None,
    };
    Some(name.to_owned())
}

/// `None`: libseccomp does not know the architecture.
fn by_libseccomp(arch: ScmpArch, name: &str) -> Option<bool> {
    // A library which does not know `read` on an architecture knows nothing about it.
    ScmpSyscall::from_name_by_arch("read", arch).ok()?;
    // "Rewrite": a call which goes through socketcall(2) or ipc(2) on this architecture gets the
    // number of that one. What exists only elsewhere keeps a negative number.
    let number = ScmpSyscall::from_name_by_arch_rewrite(name, arch);
    Some(number.is_ok_and(|number| number.as_raw_syscall() >= 0))
}

/// `None`: the crate has no table which is built in for the architecture.
fn by_crate(arch: Arch, name: &str) -> Option<bool> {
    match arch {
        Arch::X86 => Some(name.parse::<syscalls::x86::Sysno>().is_ok()),
        // x32 has the calls of x86_64, but for some which are the ones of x86.
        Arch::X86_64 | Arch::X32 => Some(name.parse::<syscalls::x86_64::Sysno>().is_ok()),
        Arch::Arm => Some(name.parse::<syscalls::arm::Sysno>().is_ok()),
        Arch::Aarch64 => Some(name.parse::<syscalls::aarch64::Sysno>().is_ok()),
        Arch::S390x => Some(name.parse::<syscalls::s390x::Sysno>().is_ok()),
        Arch::Ppc64 | Arch::Ppc64le => Some(name.parse::<syscalls::powerpc64::Sysno>().is_ok()),
        Arch::Riscv64 => Some(name.parse::<syscalls::riscv64::Sysno>().is_ok()),
        Arch::Native
        | Arch::Mips
        | Arch::Mips64
        | Arch::Mips64N32
        | Arch::Mipsel
        | Arch::Mipsel64
        | Arch::Mipsel64N32
        | Arch::Ppc
        | Arch::S390
        | Arch::Parisc
        | Arch::Parisc64
        | Arch::Loongarch64
        | Arch::M68k
        | Arch::Sh
        | Arch::Sheb => None,
    }
}
