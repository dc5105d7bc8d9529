//! SELinux as the guest has it: its modules and its mode.

use std::collections::BTreeSet;

use crate::run::{Ended, run};

/// The modules of the policy that are enabled.
pub fn modules() -> BTreeSet<String> {
    let list = run("semodule", &["--list-modules"]).expect_success();
    list.lines().map(str::to_owned).collect()
}

/// Installs modules in one transaction, as an administrator of the node would: names and CIL.
pub fn install(modules: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let mut args = vec!["--install".to_owned()];
    for (name, cil) in modules {
        let file = folder.path().join(format!("{name}.cil"));
        std::fs::write(&file, cil).unwrap();
        args.push(file.to_str().unwrap().to_owned());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run("semodule", &args)
}

/// Removes modules in one transaction.
pub fn remove(modules: &[&str]) -> Ended {
    let mut args = vec!["--remove"];
    args.extend(modules);
    run("semodule", &args)
}

/// Whether denials are denied.
pub fn is_enforcing() -> bool {
    std::fs::read_to_string("/sys/fs/selinux/enforce").unwrap() == "1"
}
