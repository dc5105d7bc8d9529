//! The compiler of SELinux, and what is in the policy that it makes.
//!
//! `secilc` compiles; `checkpolicy` reads the binary policy, as a kernel would, and writes it down
//! with every permission spelled out. Both are programs of Debian's packages of these names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use spo_profile::selinux::tree::{Tree, read};

/// What profiles are compiled with.
const BASE: &str = include_str!("base.cil");

/// The statements of a compiled policy: one permission each, the target always by its name.
pub(crate) type Policy = BTreeSet<String>;

/// Compiles modules with the base policy; or returns what the compiler says.
pub(crate) fn compile(modules: &[&str]) -> Result<Policy, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("base.cil"), BASE).unwrap();
    let mut secilc = Command::new("secilc");
    secilc
        .current_dir(directory.path())
        .args(["--policyvers", "33", "-o", "policy", "-f", "contexts"])
        .arg("base.cil");
    for (index, module) in modules.iter().enumerate() {
        let name = format!("{index}.cil");
        fs::write(path(&name), module).unwrap();
        secilc.arg(name);
    }
    run(&mut secilc)?;
    let mut checkpolicy = Command::new("checkpolicy");
    checkpolicy.current_dir(directory.path());
    run(checkpolicy.args(["-b", "-C", "-M", "-o", "said", "policy"]))?;
    Ok(statements(&path("said")))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; hack/deps test installs it"));
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn statements(said: &Path) -> Policy {
    let text = fs::read_to_string(said).unwrap();
    let mut policy = Policy::new();
    for tree in read(&text).unwrap() {
        match tree.list().unwrap() {
            [
                Tree::Word("allow"),
                Tree::Word(source),
                Tree::Word(target),
                Tree::List(access),
            ] => {
                let class = access[0].word().unwrap();
                for permission in access[1].list().unwrap() {
                    let target = if *target == "self" { source } else { target };
                    let permission = permission.word().unwrap();
                    policy.insert(format!("allow {source} {target} {class} {permission}"));
                }
            }
            parts => {
                policy.insert(text_of(parts));
            }
        }
    }
    policy
}

/// A statement without its outer parentheses.
fn text_of(parts: &[Tree<'_>]) -> String {
    let part = |part: &Tree<'_>| match part {
        Tree::Word(word) => (*word).to_owned(),
        Tree::List(parts) => format!("({})", text_of(parts)),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(" ")
}

/// What a policy says that the base policy does not, after the proof that nothing is missing.
pub(crate) fn added(policy: &Policy) -> Policy {
    static BASE_POLICY: LazyLock<Policy> = LazyLock::new(|| compile(&[]).unwrap());
    let base = &*BASE_POLICY;
    let missing: Vec<&String> = base.difference(policy).collect();
    assert_eq!(missing, [] as [&String; 0], "the base policy has changed");
    policy.difference(base).cloned().collect()
}
