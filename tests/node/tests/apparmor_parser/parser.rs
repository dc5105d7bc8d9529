//! `apparmor_parser`, and what it says about a text.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// What the parser found in a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The names of the profiles.
    pub(crate) names: Vec<String>,
    /// What is allowed or denied for a path. The parser shows `w` as `wa`.
    pub(crate) files: BTreeMap<String, BTreeSet<char>>,
    pub(crate) capabilities: BTreeSet<String>,
    /// How many rules there are of the other classes.
    pub(crate) rules: BTreeMap<&'static str, usize>,
}

/// The classes which are counted.
const CLASSES: [&str; 5] = ["mount", "umount", "signal", "ptrace", "unix"];

fn run(args: &[&str], text: &str) -> Output {
    // Some patterns keep it busy for ever, which fails here like any other refusal.
    let mut parser = Command::new("timeout")
        .args(["--kill-after=1", "10", "apparmor_parser"])
        .args(["--skip-kernel-load", "--skip-cache"])
        .args(args)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("apparmor_parser is there: run hack/deps test");
    let mut input = parser.stdin.take().unwrap();
    // A parser that refuses the text does not read all of it.
    drop(input.write_all(text.as_bytes()));
    drop(input);
    parser.wait_with_output().unwrap()
}

fn succeeded(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

/// Compiles a text. The error is what the parser says.
pub(crate) fn compile(text: &str) -> Result<(), String> {
    succeeded(&run(&["--stdout"], text)).map(|_| ())
}

/// The names of the profiles in a text.
pub(crate) fn names(text: &str) -> Result<String, String> {
    succeeded(&run(&["--names"], text))
}

/// The text with everything that it includes.
pub(crate) fn expanded(text: &str) -> Result<String, String> {
    succeeded(&run(&["--preprocess"], text))
}

/// What is in a text, if the parser compiles it.
pub(crate) fn examine(text: &str) -> Result<Found, String> {
    compile(text)?;
    let mut found = Found {
        names: names(text)?.lines().map(str::to_owned).collect(),
        ..Found::default()
    };
    let dump = succeeded(&run(&["--debug"], text))?;
    for line in dump.lines() {
        if let Some(entry) = line.strip_prefix("Mode:\t") {
            let (modes, name) = entry.split_once("\tName:\t(").unwrap();
            let (owner, others) = modes.split_once(':').unwrap();
            let name = name.strip_suffix(')').unwrap();
            let letters = found.files.entry(name.to_owned()).or_default();
            letters.extend(owner.chars().chain(others.chars()));
        } else if let Some(list) = line.strip_prefix("Capabilities:") {
            let names = list.split_whitespace().map(str::to_owned);
            found.capabilities.extend(names);
        } else if let Some(class) = class(line) {
            *found.rules.entry(class).or_default() += 1;
        }
    }
    Ok(found)
}

fn class(line: &str) -> Option<&'static str> {
    let begins = |class: &&str| {
        let rest = line.strip_prefix(class);
        rest.is_some_and(|rest| rest.starts_with([' ', ',']))
    };
    CLASSES.into_iter().find(|class| begins(class))
}
