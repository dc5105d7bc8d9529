//! Makes one harmless system call with two arguments, and says how it went:
//! `getpriority WHICH WHO` prints `ok` or `errno N`.

use std::io::Write as _;
use std::process::ExitCode;

use rustix::process::{self, Pid, Uid};

fn main() -> ExitCode {
    let numbers: Vec<u32> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let result = match numbers[..] {
        [0, who] => process::getpriority_process(Pid::from_raw(who as i32)),
        [1, who] => process::getpriority_pgrp(Pid::from_raw(who as i32)),
        [2, who] => process::getpriority_user(Uid::from_raw(who)),
        _ => return ExitCode::from(2),
    };
    let text = match result {
        Ok(_) => "ok".to_owned(),
        Err(errno) => format!("errno {}", errno.raw_os_error()),
    };
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}
