//! Unions by example. A list is written one rule a line, as `names ACTION[/errno] [if conditions]`.

use super::*;
use spo_api::seccomp_profile::{Arg, Operator};

fn arg(text: &str) -> Arg {
    let mut words = text.split_whitespace();
    let mut word = || words.next().unwrap();
    let index = word().strip_prefix('a').unwrap().parse().unwrap();
    let op = match word() {
        "!=" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::LessEqual,
        "==" => Operator::Equal,
        ">=" => Operator::GreaterEqual,
        ">" => Operator::Greater,
        "&" => Operator::MaskedEqual,
        other => panic!("{other}"),
    };
    let value = Some(word().parse().unwrap()).filter(|value| *value != 0);
    let value_two = words
        .last()
        .map(|value| value.parse().unwrap())
        .filter(|value| *value != 0);
    Arg {
        index,
        value,
        value_two,
        op,
    }
}

fn entry(line: &str) -> Syscall {
    let (head, args) = line.split_once(" if ").unwrap_or((line, ""));
    let (names, effect) = head.trim().rsplit_once(' ').unwrap();
    let (action, errno) = effect.split_once('/').unwrap_or((effect, ""));
    Syscall {
        names: names.split(' ').map(str::to_owned).collect(),
        action: format!("SCMP_ACT_{action}").parse().unwrap(),
        errno_ret: errno.parse().ok(),
        args: args
            .split(" && ")
            .filter(|text| !text.is_empty())
            .map(arg)
            .collect(),
    }
}

fn list(text: &str) -> Vec<Syscall> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(entry)
        .collect()
}

fn check(left: &str, right: &str, expected: &str) {
    assert_eq!(
        unite(&list(left), &list(right)),
        list(expected),
        "{left} + {right}"
    );
}

#[test]
fn names_are_sorted_one_per_entry() {
    check(
        "write read ALLOW",
        "open ALLOW",
        "open ALLOW\nread ALLOW\nwrite ALLOW",
    );
    check("read read ALLOW\nread ALLOW", "", "read ALLOW");
    check("", "", "");
}

#[test]
fn the_less_restrictive_action_wins() {
    let order = [
        "KILL_PROCESS",
        "KILL_THREAD",
        "TRAP",
        "ERRNO",
        "NOTIFY",
        "TRACE",
        "LOG",
        "ALLOW",
    ];
    for pair in order.windows(2) {
        let [strict, lax] = [&pair[0], &pair[1]].map(|action| format!("x {action}"));
        check(&strict, &lax, &lax);
        check(&lax, &strict, &lax);
    }
    check("x KILL", "x KILL_THREAD", "x KILL");
    check("x KILL_THREAD", "x KILL", "x KILL_THREAD");
}

#[test]
fn errno_follows_the_action() {
    check("x ERRNO/13", "x ERRNO/38", "x ERRNO/13");
    check("x ERRNO", "x ERRNO/38", "x ERRNO");
    check("x KILL", "x ERRNO/38", "x ERRNO/38");
    check("x ERRNO/38", "x ALLOW", "x ALLOW");
    // The one without conditions stays as it is.
    check("x ERRNO/13 if a0 == 1", "x ERRNO/38", "x ERRNO/38");
}

#[test]
fn conditions_stay_apart() {
    check(
        "x ALLOW if a0 == 1",
        "x ALLOW if a1 == 2",
        "x ALLOW if a0 == 1\nx ALLOW if a1 == 2",
    );
    check(
        "x ALLOW if a0 == 1",
        "x ALLOW if a0 == 1",
        "x ALLOW if a0 == 1",
    );
    check("x ALLOW if a0 == 1", "x ALLOW", "x ALLOW");
    check("x ALLOW", "x ALLOW if a0 == 1", "x ALLOW");
    check("x ALLOW if a0 & 0", "x ALLOW if a0 == 1", "x ALLOW");
    // Alternatives in one entry are taken apart as soon as there is another entry.
    let alternatives = "x ALLOW if a0 == 2 && a0 == 1";
    check(alternatives, "", alternatives);
    check(alternatives, alternatives, alternatives);
    check(
        alternatives,
        "x ALLOW if a1 == 3",
        "x ALLOW if a0 == 1\nx ALLOW if a0 == 2\nx ALLOW if a1 == 3",
    );
}

#[test]
fn what_only_one_entry_has_stays_as_written() {
    let written = "x ERRNO/0 if a1 == 1 && a0 & 6 9";
    check(written, "y ALLOW", &format!("{written}\ny ALLOW"));
}

#[test]
fn a_less_restrictive_action_is_taken_out_of_the_other() {
    check(
        "x ALLOW if a0 == 1",
        "x ERRNO",
        "x ERRNO if a0 != 1\nx ALLOW if a0 == 1",
    );
    check("x ERRNO if a0 == 1", "x ALLOW", "x ALLOW");
    check(
        "x ERRNO/38",
        "x ALLOW if a0 & 3 2",
        "x ERRNO/38 if a0 & 1 1\nx ERRNO/38 if a0 & 2\nx ALLOW if a0 & 3 2",
    );
    check(
        "x ALLOW if a0 == 1 && a1 == 2",
        "x ERRNO",
        "x ERRNO if a0 != 1\nx ALLOW if a0 == 1 && a1 == 2\nx ERRNO if a1 != 2",
    );
    check(
        "x ALLOW if a0 == 1",
        "x ERRNO if a1 == 2",
        "x ERRNO if a0 != 1 && a1 == 2\nx ALLOW if a0 == 1",
    );
    check(
        "x ALLOW if a0 == 1 && a1 == 2",
        "x ERRNO if a0 == 1",
        "x ERRNO if a0 == 1 && a1 != 2\nx ALLOW if a0 == 1 && a1 == 2",
    );
    // The socket rules of Podman's default profile beside a base that denies.
    check(
        "socket ALLOW if a2 != 9\nsocket ALLOW if a0 != 16",
        "socket ERRNO/22",
        "socket ALLOW if a0 != 16\nsocket ERRNO/22 if a0 == 16 && a2 == 9\nsocket ALLOW if a2 != 9",
    );
    // A list of values of one argument.
    check(
        "x ALLOW if a0 == 1\nx ALLOW if a0 == 2\nx ALLOW if a0 == 10",
        "x ERRNO/38 if a0 > 0 ",
        &format!(
            "{}x ALLOW if a0 == 1\nx ALLOW if a0 == 2\n{}x ALLOW if a0 == 10\nx ERRNO/38 if a0 >= 11",
            "",
            (3..10)
                .map(|value| format!("x ERRNO/38 if a0 == {value}\n"))
                .collect::<String>()
        ),
    );
}

#[test]
fn what_can_not_be_said_becomes_less_restrictive() {
    // 3 < a0 < 100 without 50.
    check(
        "x ALLOW if a0 > 100",
        "x ERRNO if a0 > 3",
        "x ALLOW if a0 > 3\nx ALLOW if a0 > 100",
    );
    // Rules which libseccomp would not keep apart.
    check(
        "x ALLOW if a0 == 1\nx ALLOW if a1 == 1",
        "x ERRNO if a2 == 2",
        "x ALLOW if a0 == 1\nx ALLOW if a1 == 1\nx ALLOW if a2 == 2",
    );
    // Only the actions concerned change.
    check(
        "x ALLOW if a0 > 100",
        "x LOG if a0 > 3\nx ERRNO/38",
        "x ERRNO/38 if a0 <= 3\nx ALLOW if a0 > 3\nx ALLOW if a0 > 100",
    );
}

#[test]
fn a_list_that_contradicts_itself_is_read_as_a_runtime_does() {
    let text = "x ERRNO/38\nx ALLOW if a0 == 1";
    let read = |default| unite_under(default, &list(text), &[]);
    assert_eq!(read(Action::Kill), list("x ERRNO/38"));
    let text = "x ALLOW\nx ERRNO if a0 == 1";
    let read = |default| unite_under(default, &list(text), &[]);
    assert_eq!(read(Action::Kill), list("x ALLOW"));
    assert_eq!(
        read(Action::Allow),
        list("x ALLOW if a0 != 1\nx ERRNO if a0 == 1")
    );
    // Nothing is known about the default action: the less restrictive one.
    check(text, "", "x ALLOW");
}

#[test]
fn very_many_rules_are_united_in_bounded_time() {
    let many = |action: &str, range: std::ops::Range<i32>| -> String {
        range
            .map(|value| format!("x {action} if a0 == {value}\n"))
            .collect()
    };
    let allowed = list(&many("ALLOW", 0..10_000));
    assert_eq!(unite(&allowed, &allowed).len(), 10_000);
    // Beyond a limit nobody looks at where they differ.
    assert_eq!(unite(&allowed, &list("x ERRNO")), list("x ALLOW"));
    let united = unite(&list(&many("ALLOW", 0..64)), &list(&many("ERRNO", 64..128)));
    assert_eq!(united, list(&many("ALLOW", 0..128)));
    let masks: String = (0..32)
        .map(|bit| format!("x ALLOW if a0 & 4294967295 {bit}\n"))
        .collect();
    assert_eq!(unite(&list(&masks), &list("x ERRNO")), list("x ALLOW"));
}
