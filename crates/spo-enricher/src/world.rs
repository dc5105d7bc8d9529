//! What the pipeline asks of the world, and the world that answers.

use std::collections::HashMap;
use std::sync::Arc;

use spo_api::seccomp_profile;
use spo_audit::arch::{Arch, Syscall};
use spo_audit::proc;
use spo_host::process::Procfs;
use spo_process::telemetry;

/// What is known of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is not there any more.
    Gone,
    /// It is the one that was known.
    Same,
    /// It is another one, or none was known.
    Process {
        /// In clock ticks since the machine was started.
        start: u64,
        /// The text of `/proc/<pid>/cgroup`.
        cgroup: Vec<u8>,
    },
}

pub(crate) trait World {
    /// A process, of which is known when it started, or nothing.
    fn process(&mut self, pid: u32, known: Option<u64>) -> Answer;
    /// The name of a system call.
    fn name(&mut self, syscall: Syscall) -> Option<Arc<str>>;
    /// Appends what a line of the log begins with.
    fn header(&mut self, out: &mut String);
}

/// This node.
#[derive(Debug)]
pub(crate) struct Node {
    procfs: Procfs,
    /// No larger than the tables are: what has no name is not kept.
    names: HashMap<Syscall, Arc<str>>,
}

impl Node {
    pub(crate) fn new(procfs: Procfs) -> Self {
        Self {
            procfs,
            names: HashMap::new(),
        }
    }
}

impl World for Node {
    fn process(&mut self, pid: u32, known: Option<u64>) -> Answer {
        let Ok(process) = self.procfs.open(pid) else {
            return Answer::Gone;
        };
        let stat = process.stat().unwrap_or_default();
        let Ok(start) = proc::start_time(pid, &stat) else {
            return Answer::Gone;
        };
        if known == Some(start) {
            return Answer::Same;
        }
        process
            .cgroup()
            .map_or(Answer::Gone, |cgroup| Answer::Process { start, cgroup })
    }

    fn name(&mut self, syscall: Syscall) -> Option<Arc<str>> {
        if let Some(name) = self.names.get(&syscall) {
            return Some(Arc::clone(name));
        }
        let arch = match syscall.arch {
            Arch::X86_64 => seccomp_profile::Arch::X86_64,
            Arch::X32 => seccomp_profile::Arch::X32,
            Arch::X86 => seccomp_profile::Arch::X86,
            Arch::Aarch64 => seccomp_profile::Arch::Aarch64,
            Arch::Arm => seccomp_profile::Arch::Arm,
            Arch::S390x => seccomp_profile::Arch::S390x,
            Arch::S390 => seccomp_profile::Arch::S390,
            Arch::Ppc64le => seccomp_profile::Arch::Ppc64le,
            Arch::Ppc64 => seccomp_profile::Arch::Ppc64,
            Arch::Riscv64 => seccomp_profile::Arch::Riscv64,
            Arch::Other(_) => return None,
        };
        let name: Arc<str> = spo_host::seccomp::syscall_name(arch, syscall.number)?.into();
        self.names.insert(syscall, Arc::clone(&name));
        Some(name)
    }

    fn header(&mut self, out: &mut String) {
        // Writing to a String can not fail.
        let _infallible = telemetry::write_header(out, 'I', "enricher.rs", line!());
    }
}
