//! Which table a system call number belongs to.
//!
//! Numbers become names at the edge: this crate has no table. It says which table is meant.

/// An architecture whose programs make system calls by numbers of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// x86-64 with 32-bit pointers; its records say x86_64, and bit 30 of the number is set.
    X32,
    /// 32-bit x86, on a 64-bit kernel too.
    X86,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm.
    Arm,
    /// 64-bit z/Architecture.
    S390x,
    /// 31-bit.
    S390,
    /// Little-endian 64-bit Power.
    Ppc64le,
    /// Big-endian 64-bit Power.
    Ppc64,
    /// 64-bit RISC-V.
    Riscv64,
    /// The value of a field `arch=` that we have no name for.
    Other(u32),
}

/// A system call, before it has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Syscall {
    /// Whose table.
    pub arch: Arch,
    /// The number in that table, without the bit that marks x32.
    pub number: u32,
}

/// `__X32_SYSCALL_BIT` of arch/x86/include/uapi/asm/unistd.h.
const X32_BIT: u32 = 0x4000_0000;

impl Syscall {
    /// From the fields `arch` (`AUDIT_ARCH_*` in include/uapi/linux/audit.h) and `syscall`.
    pub fn new(arch: u32, number: u32) -> Self {
        let arch = match arch {
            0xc000_003e if number & X32_BIT != 0 => {
                let number = number & !X32_BIT;
                let arch = Arch::X32;
                return Self { arch, number };
            }
            0xc000_003e => Arch::X86_64,
            0x4000_0003 => Arch::X86,
            0xc000_00b7 => Arch::Aarch64,
            0x4000_0028 => Arch::Arm,
            0x8000_0016 => Arch::S390x,
            0x0000_0016 => Arch::S390,
            0xc000_0015 => Arch::Ppc64le,
            0x8000_0015 => Arch::Ppc64,
            0xc000_00f3 => Arch::Riscv64,
            other => Arch::Other(other),
        };
        Self { arch, number }
    }
}
