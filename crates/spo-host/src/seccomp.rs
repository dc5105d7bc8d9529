//! libseccomp: what the kernel supports, which system calls exist, and filters from profiles.
//!
//! A filter is compiled like runc compiles it (`libcontainer/seccomp/seccomp_linux.go`), so that
//! what is seen here is what a container gets. One thing is missing: runc puts a stub before the
//! filter which answers ENOSYS to system calls newer than every one that the profile names, and
//! libseccomp can not load a program which was changed after it was generated. Under our filter
//! such a call gets the default action.

mod document;
mod rules;
mod table;

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use libseccomp::error::SeccompError;
use libseccomp::{ScmpArch, ScmpFilterContext};
use rustix::fs::{self, MemfdFlags};
use rustix::io::Errno;
use rustix::thread::{SecureComputingMode, set_secure_computing_mode};
use spo_api::seccomp_profile::{Arch, Flag};

/// Whether the kernel takes seccomp filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// It does.
    Available,
    /// It does not; with the reason, for people.
    Missing(String),
}

/// Why a profile does not become a filter, or a filter does not come into force.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not the JSON of a profile, or an action, operator, flag or architecture has
    /// a name which the OCI runtime-spec does not have.
    #[error("the profile is not valid")]
    Parse(#[source] serde_json::Error),
    /// The default action is `SCMP_ACT_NOTIFY`. runc refuses it, because the runtime itself would
    /// wait for the agent.
    #[error("SCMP_ACT_NOTIFY cannot be the default action")]
    NotifyByDefault,
    /// A rule has `write` wait for the agent. runc refuses it, because it hands the listener over
    /// with `write`.
    #[error("SCMP_ACT_NOTIFY cannot be used for the system call write")]
    NotifyOnWrite,
    /// libseccomp has no memory, or the kernel no seccomp.
    #[error("cannot make an empty filter")]
    Create(#[source] SeccompError),
    /// The library does not know the architecture.
    #[error("cannot add architecture {arch}")]
    Arch {
        /// As in the profile.
        arch: Arch,
        /// From seccomp_arch_add(3).
        source: SeccompError,
    },
    /// The library or the kernel is too old for the flag.
    #[error("cannot set flag {flag}")]
    Flag {
        /// As in the profile.
        flag: Flag,
        /// From seccomp_attr_set(3).
        source: SeccompError,
    },
    /// An argument index above 5, or an action which the kernel does not have.
    #[error("cannot add a rule for system call {syscall}")]
    Rule {
        /// As in the profile.
        syscall: String,
        /// From seccomp_rule_add_array(3).
        source: SeccompError,
    },
    /// The kernel refuses the filter.
    #[error("cannot load the filter")]
    Load(#[source] SeccompError),
    /// libseccomp can not generate the program.
    #[error("cannot export the filter")]
    Export(#[source] SeccompError),
    /// There is no memory for the exported program.
    #[error("cannot read the exported filter")]
    ReadExport(#[source] io::Error),
}

/// A profile, compiled for the running kernel.
#[derive(Debug)]
pub struct Filter {
    context: ScmpFilterContext,
    skipped: Vec<String>,
}

/// Finds out whether the kernel takes seccomp filters (contract 02a, 2.2).
///
/// It asks for a filter at address 0. EINVAL means that the kernel does not know the request;
/// everything else, usually EFAULT, that it does. Nothing is ever loaded. A look at
/// `/proc/sys/kernel/seccomp` would not do: `/proc` may be masked.
pub fn supported() -> Support {
    match set_secure_computing_mode(SecureComputingMode::Filter) {
        Err(Errno::INVAL) => {
            Support::Missing("the kernel is built without CONFIG_SECCOMP_FILTER".to_owned())
        }
        Ok(()) | Err(_) => Support::Available,
    }
}

/// The architecture which the process runs on.
pub fn native_arch() -> Arch {
    let native = ScmpArch::native();
    Arch::ALL
        .iter()
        .copied()
        .find(|arch| *arch != Arch::Native && scmp_arch(*arch) == native)
        // Not reached: `Arch` has every architecture that libseccomp has.
        .unwrap_or(Arch::Native)
}

/// The name of a system call, by the number which programs of the architecture use; for x32 with or
/// without the bit that marks it.
pub fn syscall_name(arch: Arch, number: u32) -> Option<String> {
    table::name_of(arch, number)
}

/// The names which are a system call on none of the architectures, in the order given.
///
/// No architectures means the native one. Two tables are asked, the one of libseccomp and the one
/// of the `syscalls` crate, because either may be older; a name is unknown only if neither has it.
/// On an architecture which neither table covers every name may exist, so that none is unknown.
pub fn unknown_syscalls<'a>(names: impl Iterator<Item = &'a str>, arches: &[Arch]) -> Vec<String> {
    let arches = if arches.is_empty() {
        &[Arch::Native]
    } else {
        arches
    };
    names
        .filter(|name| !arches.iter().any(|arch| table::may_have(*arch, name)))
        .map(str::to_owned)
        .collect()
}

/// Compiles the file of a profile as runc does.
pub fn compile(json: &[u8]) -> Result<Filter, Error> {
    let document = serde_json::from_slice(json).map_err(Error::Parse)?;
    let (context, skipped) = rules::compile(&document)?;
    Ok(Filter { context, skipped })
}

impl Filter {
    /// Names of the profile which libseccomp does not know. As under runc they are not in the
    /// filter, so that they get the default action.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Confines all threads of the process, after setting no_new_privs. There is no way back.
    ///
    /// With `SCMP_ACT_NOTIFY` in the profile only the calling thread is confined, and since nobody
    /// listens, these system calls answer ENOSYS after the next exec.
    pub fn load(self) -> Result<(), Error> {
        self.context.load().map_err(Error::Load)
    }

    /// The program which the kernel would run: an array of `struct sock_filter` (linux/filter.h),
    /// native endian.
    pub fn export_bpf(&self) -> Result<Vec<u8>, Error> {
        let memory = fs::memfd_create("seccomp", MemfdFlags::CLOEXEC)
            .map_err(|errno| Error::ReadExport(errno.into()))?;
        self.context.export_bpf(&memory).map_err(Error::Export)?;
        let mut memory = File::from(memory);
        let mut program = Vec::new();
        memory.rewind().map_err(Error::ReadExport)?;
        memory
            .read_to_end(&mut program)
            .map_err(Error::ReadExport)?;
        Ok(program)
    }
}

fn scmp_arch(arch: Arch) -> ScmpArch {
    match arch {
        Arch::Native => ScmpArch::Native,
        Arch::X86 => ScmpArch::X86,
        Arch::X86_64 => ScmpArch::X8664,
        Arch::X32 => ScmpArch::X32,
        Arch::Arm => ScmpArch::Arm,
        Arch::Aarch64 => ScmpArch::Aarch64,
        Arch::Mips => ScmpArch::Mips,
        Arch::Mips64 => ScmpArch::Mips64,
        Arch::Mips64N32 => ScmpArch::Mips64N32,
        Arch::Mipsel => ScmpArch::Mipsel,
        Arch::Mipsel64 => ScmpArch::Mipsel64,
        Arch::Mipsel64N32 => ScmpArch::Mipsel64N32,
        Arch::Ppc => ScmpArch::Ppc,
        Arch::Ppc64 => ScmpArch::Ppc64,
        Arch::Ppc64le => ScmpArch::Ppc64Le,
        Arch::S390 => ScmpArch::S390,
        Arch::S390x => ScmpArch::S390X,
        Arch::Parisc => ScmpArch::Parisc,
        Arch::Parisc64 => ScmpArch::Parisc64,
        Arch::Riscv64 => ScmpArch::Riscv64,
        Arch::Loongarch64 => ScmpArch::Loongarch64,
        Arch::M68k => ScmpArch::M68k,
        Arch::Sh => ScmpArch::Sh,
        Arch::Sheb => ScmpArch::Sheb,
    }
}

#[cfg(test)]
mod tests;
