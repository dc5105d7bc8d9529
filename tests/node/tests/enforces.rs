//! A profile as the daemon writes it, and what happens to a command under it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use spo_api::seccomp_profile::{Action, Arg, Flag, Operator, SeccompProfileSpec, Syscall};
use spo_profile::seccomp::render;

/// Signal 31, as on x86_64 and aarch64.
const SIGSYS: i32 = 31;

const GETPRIORITY: &str = env!("CARGO_BIN_EXE_getpriority");

/// Runs a command under a profile.
fn run(profile: &[u8], command: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("profile.json");
    let root = spo_host::root::NodeRoot::open(directory.path()).unwrap();
    let dir = root.dir("", spo_host::root::CreateDirs::Never).unwrap();
    dir.write_atomic("profile.json", profile, spo_host::file::FILE_MODE)
        .unwrap();
    exec(&file, command)
}

fn exec(file: &Path, command: &[&str]) -> Output {
    let mut exec = Command::new(env!("CARGO_BIN_EXE_seccomp-exec"));
    exec.arg(file)
        .arg("--")
        .args(command)
        .env("LC_ALL", "C")
        .output()
        .unwrap()
}

fn rules(default: &str, syscalls: &Value) -> Vec<u8> {
    json!({ "defaultAction": default, "syscalls": syscalls })
        .to_string()
        .into_bytes()
}

/// Everything is allowed but to make directories.
fn on_mkdir(action: &str, errno: Option<u32>) -> Vec<u8> {
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": action, "errnoRet": errno });
    rules("SCMP_ACT_ALLOW", &json!([rule]))
}

/// Makes a directory under a profile; whether it is there then.
fn mkdir(profile: &[u8]) -> (Output, bool) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made");
    let output = run(profile, &["mkdir", path.to_str().unwrap()]);
    (output, path.exists())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn errno_denies_with_its_number() {
    let check = |errno, message: &str| {
        let (output, made) = mkdir(&on_mkdir("SCMP_ACT_ERRNO", errno));
        assert!(text(&output.stderr).contains(message), "{output:?}");
        assert_eq!((output.status.code(), made), (Some(1), false));
    };
    check(Some(13), "Permission denied");
    check(Some(28), "No space left on device");
    check(None, "Operation not permitted");
}

#[test]
fn kill_and_trap_end_the_process() {
    for action in [
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_TRAP",
    ] {
        let (output, made) = mkdir(&on_mkdir(action, None));
        assert_eq!(
            (output.status.signal(), made),
            (Some(SIGSYS), false),
            "{action}"
        );
    }
}

#[test]
fn log_and_allow_let_through() {
    for action in ["SCMP_ACT_LOG", "SCMP_ACT_ALLOW"] {
        let (output, made) = mkdir(&on_mkdir(action, None));
        assert!(output.status.success() && made, "{action} {output:?}");
    }
}

#[test]
fn trace_without_a_tracer_is_enosys() {
    let (output, made) = mkdir(&on_mkdir("SCMP_ACT_TRACE", None));
    assert!(
        text(&output.stderr).contains("Function not implemented"),
        "{output:?}"
    );
    assert!(!made);
}

#[test]
fn the_default_action_hits_what_is_not_named() {
    // What coreutils and a C library need. More than one library needs is no harm.
    let allowed = json!([{ "action": "SCMP_ACT_ALLOW", "names": [
        "access", "arch_prctl", "brk", "capget", "chdir", "clock_gettime", "clone", "clone3",
        "close", "dup", "dup2", "execve", "exit", "exit_group", "faccessat", "fadvise64", "fcntl",
        "fstat", "futex", "getcwd", "getdents64", "getegid", "geteuid", "getgid", "getpid",
        "getrandom", "getuid", "ioctl", "lseek", "madvise", "mmap", "mprotect", "mremap", "munmap",
        "newfstatat", "open", "openat", "poll", "pread64", "prlimit64", "read", "readlink",
        "readlinkat", "rseq", "rt_sigaction", "rt_sigprocmask", "sched_getaffinity",
        "set_robust_list", "set_tid_address", "sigaltstack", "stat", "statfs", "statx",
        "sysinfo", "umask", "uname", "wait4", "write", "writev"
    ] }]);
    let profile = rules("SCMP_ACT_ERRNO", &allowed);
    let (output, made) = mkdir(&profile);
    assert!(
        text(&output.stderr).contains("Operation not permitted"),
        "{output:?}"
    );
    assert!(!made);
    assert_eq!(text(&run(&profile, &["echo", "hello"]).stdout), "hello\n");
    assert_eq!(
        text(&run(&profile, &[GETPRIORITY, "0", "0"]).stdout),
        "errno 1\n"
    );
}

#[test]
fn conditions_on_arguments_decide() {
    let argument =
        |index: u32, op: &str, value: u64| json!({ "index": index, "op": op, "value": value });
    let check = |args: Value, call: [&str; 2], denied: bool| {
        let rule = json!({ "names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
            "args": args });
        let output = run(
            &rules("SCMP_ACT_ALLOW", &json!([rule])),
            &[GETPRIORITY, call[0], call[1]],
        );
        // The call itself may answer 3, ESRCH.
        assert_eq!(
            text(&output.stdout)
                == "errno 13
",
            denied,
            "{rule} {call:?}"
        );
    };
    let is_one = argument(0, "SCMP_CMP_EQ", 1);
    check(json!([is_one]), ["1", "0"], true);
    check(json!([is_one]), ["0", "0"], false);
    // Different arguments: all of it.
    let both = json!([is_one, argument(1, "SCMP_CMP_GT", 5)]);
    check(both.clone(), ["1", "6"], true);
    check(both.clone(), ["1", "0"], false);
    check(both, ["2", "6"], false);
    // The same argument: any of it.
    let either = json!([is_one, argument(0, "SCMP_CMP_EQ", 2)]);
    check(either.clone(), ["1", "0"], true);
    check(either.clone(), ["2", "0"], true);
    check(either, ["0", "0"], false);
}

#[test]
fn what_the_daemon_renders_is_what_is_loaded() {
    let spec = SeccompProfileSpec {
        base_profile_name: Some("base".to_owned()),
        default_action: Action::Allow,
        syscalls: vec![Syscall {
            names: vec!["getpriority".to_owned()],
            action: Action::Errno,
            errno_ret: Some(38),
            args: vec![Arg {
                index: 0,
                value: Some(0),
                value_two: None,
                op: Operator::Equal,
            }],
        }],
        flags: vec![Flag::Log, Flag::Tsync],
        ..SeccompProfileSpec::default()
    };
    let output = run(&render::render(&spec), &[GETPRIORITY, "0", "0"]);
    assert_eq!(text(&output.stdout), "errno 38\n");
}

#[test]
fn flags_load_and_privileges_can_not_be_gained() {
    let status = |flags: Option<&[&str]>| {
        let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": flags }).to_string();
        let output = run(profile.as_bytes(), &["cat", "/proc/self/status"]);
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout).to_owned()
    };
    let all = [
        "SECCOMP_FILTER_FLAG_TSYNC",
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    ];
    for flags in [None, Some(&[][..]), Some(&all[..])] {
        let status = status(flags);
        for line in ["Seccomp:\t2\n", "Seccomp_filters:\t1\n", "NoNewPrivs:\t1\n"] {
            assert!(status.contains(line), "{flags:?} {line:?} {status}");
        }
    }
}

#[test]
fn the_exit_status_says_who_failed() {
    let directory = tempfile::tempdir().unwrap();
    let check = |output: Output, status, message: &str| {
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(text(&output.stderr).starts_with(message), "{output:?}");
    };
    let allow = rules("SCMP_ACT_ALLOW", &json!([]));
    check(run(&allow, &["sh", "-c", "exit 3"]), 3, "");
    check(
        run(&allow, &["/no/such/command"]),
        127,
        "seccomp-exec: cannot run /no/such/command: ",
    );
    check(
        run(&allow, &["/etc/passwd"]),
        126,
        "seccomp-exec: cannot run /etc/passwd: Permission",
    );
    let absent = directory.path().join("absent");
    let message = format!(
        "seccomp-exec: cannot load profile {}: No such file",
        absent.display()
    );
    check(exec(&absent, &["true"]), 125, &message);
    check(
        run(b"{}", &["true"]),
        125,
        "seccomp-exec: cannot load profile ",
    );
    let usage = Command::new(env!("CARGO_BIN_EXE_seccomp-exec"))
        .output()
        .unwrap();
    check(usage, 125, "seccomp-exec: usage: ");
    let young = rules(
        "SCMP_ACT_ALLOW",
        &json!([{ "names": ["youngest"], "action": "SCMP_ACT_LOG" }]),
    );
    check(
        run(&young, &["true"]),
        0,
        "seccomp-exec: system call youngest is not known here",
    );
}
