//! From a profile to the kernel's decision.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use spo_api::seccomp_profile::{Action, SeccompProfileSpec, Syscall};
use spo_profile::seccomp::render;
use spo_test_node::bpf::{Call, NATIVE, Program};

/// The system call of all rules here. Source: asm/unistd.h.
const GETPRIORITY: i32 = if cfg!(target_arch = "x86_64") {
    140
} else {
    141
};

/// libseccomp needs milliseconds; this is for a machine under load.
const DEADLINE: Duration = Duration::from_secs(20);

/// What becomes of a profile.
#[derive(Debug)]
pub(crate) enum Compiled {
    Program(Program),
    Refused(String),
    /// Not within the deadline.
    Hangs,
}

pub(crate) fn compile_within(deadline: Duration, spec: &SeccompProfileSpec) -> Compiled {
    let mut export = Command::new(env!("CARGO_BIN_EXE_seccomp-export"));
    export.stdin(Stdio::piped());
    export.stdout(Stdio::piped());
    export.stderr(Stdio::piped());
    let mut child = export.spawn().unwrap();
    let profile = render::render(spec);
    child.stdin.take().unwrap().write_all(&profile).unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (send, receive) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut program = Vec::new();
        stdout.read_to_end(&mut program).unwrap();
        send.send(program).ok();
    });
    let program = receive.recv_timeout(deadline);
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    reader.join().unwrap();
    match program {
        Err(_) => Compiled::Hangs,
        Ok(program) if program.is_empty() => Compiled::Refused(format!("{output:?}")),
        Ok(program) => Compiled::Program(Program::decode(&program)),
    }
}

pub(crate) fn program(spec: &SeccompProfileSpec) -> Program {
    match compile_within(DEADLINE, spec) {
        Compiled::Program(program) => program,
        Compiled::Refused(text) => panic!("{text} {spec:?}"),
        Compiled::Hangs => panic!("libseccomp does not return from {spec:?}"),
    }
}

pub(crate) fn verdict(program: &Program, args: [u64; 6]) -> Action {
    let call = Call {
        number: GETPRIORITY,
        arch: NATIVE,
        args,
    };
    program.run(&call).action
}

/// `Kill` is another name of `KillThread`.
pub(crate) fn canonical(action: Action) -> Action {
    match action {
        Action::Kill => Action::KillThread,
        action => action,
    }
}

/// Arguments on both sides of everything that the rules compare with.
pub(crate) fn calls(rules: &[Syscall]) -> Vec<[u64; 6]> {
    let [first, second, third] = [0, 1, 2].map(|index| near(rules, index));
    let mut calls = Vec::new();
    for a0 in &first {
        for a1 in &second {
            calls.extend(third.iter().map(|a2| [*a0, *a1, *a2, 0, 0, 0]));
        }
    }
    calls
}

fn near(rules: &[Syscall], index: i32) -> BTreeSet<u64> {
    let conditions = rules.iter().flat_map(|rule| &rule.args);
    let conditions = conditions.filter(|arg| arg.index == index);
    let operands = conditions.flat_map(|arg| [arg.value, arg.value_two]);
    let mut values: BTreeSet<u64> = [0, u64::MAX].into();
    for operand in operands.flatten() {
        let operand = operand as u64;
        values.extend([operand.wrapping_sub(1), operand, operand.wrapping_add(1)]);
        // The same lower half, and the same upper half.
        values.extend([operand ^ (1 << 32), operand ^ 1]);
    }
    values
}
