//! What semodule 3.8 of Debian trixie printed, word for word.

use super::*;

fn check(output: &str, module: &str, line: Option<usize>, reason: &str) {
    let expected = Blame {
        module: module.to_owned(),
        line,
        reason: reason.to_owned(),
    };
    assert_eq!(blame(output, 350), Some(expected), "{output}");
}

#[test]
fn a_statement_which_can_not_be_resolved() {
    check(
        "Failed to resolve allow statement at /var/lib/selinux/default/tmp/modules/350/bad-type/cil:3\n\
         Failed to resolve AST\nsemodule:  Failed!\n",
        "bad-type",
        Some(3),
        "failed to resolve allow statement",
    );
    check(
        "libsemanage.semanage_direct_remove_key: Removing last good1 module (no other good1 module \
         exists at another priority).\n\
         Failed to resolve blockinherit statement at /var/lib/selinux/default/tmp/modules/350/child/cil:2\n\
         Failed to resolve AST\nsemodule:  Failed!\n",
        "child",
        Some(2),
        "failed to resolve blockinherit statement",
    );
}

#[test]
fn a_permission_which_does_not_exist_is_named() {
    check(
        "Failed to resolve permission name_bindxx\n\
         Failed to resolve allow statement at /var/lib/selinux/default/tmp/modules/350/bad-perm/cil:4\n\
         Failed to resolve AST\nsemodule:  Failed!\n",
        "bad-perm",
        Some(4),
        "failed to resolve permission name_bindxx: failed to resolve allow statement",
    );
}

#[test]
fn parentheses_and_tokens() {
    check(
        "Open parenthesis without matching close at line 5 of /var/lib/selinux/default/tmp/modules/350/bad-paren/cil\n\
         libsemanage.semanage_load_files: Error while reading from file /var/lib/selinux/default/tmp/modules/350/bad-paren/cil. (No such file or directory).\n\
         semodule:  Failed!\n",
        "bad-paren",
        Some(5),
        "open parenthesis without matching close",
    );
    check(
        "Invalid token '\u{0}' at line 1 of /var/lib/selinux/default/tmp/modules/350/binary/cil\n\
         semodule:  Failed!\n",
        "binary",
        Some(1),
        "invalid token '?'",
    );
}

#[test]
fn declarations() {
    check(
        "Re-declaration of block good1\n\
         Previous declaration of block at /var/lib/selinux/default/tmp/modules/350/good1/cil:1\n\
         Bad block declaration at /var/lib/selinux/default/tmp/modules/350/bad-dup/cil:1\n\
         Failed to build AST\nsemodule:  Failed!\n",
        "bad-dup",
        Some(1),
        "re-declaration of block good1: bad block declaration",
    );
    check(
        "Invalid character \".\" in bad.dot\nInvalid name\n\
         Bad block declaration at /var/lib/selinux/default/tmp/modules/350/bad.dot/cil:1\n\
         Failed to build AST\nsemodule:  Failed!\n",
        "bad.dot",
        Some(1),
        "invalid name: bad block declaration",
    );
    check(
        "libsemanage.semanage_module_info_set_name: Name 0digit is invalid.\n\
         semodule:  Failed on /t/0digit.cil!\n",
        "0digit",
        None,
        "the name is invalid: it has to start with a letter",
    );
}

#[test]
fn a_keyword_is_found_in_the_verbose_output() {
    let quiet = "Error: Unknown keyword allowwww\nFailed to build AST\nsemodule:  Failed!\n";
    assert_eq!(blame(quiet, 350), None);
    assert_eq!(summary(quiet), "Error: Unknown keyword allowwww");
    let verbose = "Parsing /var/lib/selinux/default/tmp/modules/350/xyz/cil\n\
         Building AST from Parse Tree\nError: Unknown keyword allowwww\n\
         Problem at /var/lib/selinux/default/tmp/modules/350/bad-key/cil:3\n\
         Failed to build AST\nsemodule:  Failed!\n";
    check(verbose, "bad-key", Some(3), "unknown keyword allowwww");
}

#[test]
fn other_priorities_are_not_blamed() {
    let base = "Failed to resolve booleanif statement at /var/lib/selinux/default/tmp/modules/100/kubernetes/cil:1131\n\
         Failed to resolve AST\nsemodule:  Failed!\n";
    assert_eq!(blame(base, 350), None);
    assert!(summary(base).contains("modules/100/kubernetes/cil:1131"));
    assert_eq!(blame("", 350), None);
    assert_eq!(summary("semodule:  Failed!\n"), "semodule gave no reason");
}

#[test]
fn a_policy_package_which_is_none_is_told_by_the_end_of_the_output() {
    let output = "libsepol.module_package_read_offsets: module package header truncated (Value too large for defined data type).\n\
         libsemanage.semanage_pipe_data: Child process /usr/libexec/selinux/hll/pp failed with code: 255. (No such file or directory).\n\
         libsemanage.semanage_compile_module: pp: libsepol.sepol_ppfile_to_module_package: Failed to read policy package\n\
         . (No such file or directory).\n\
         libsemanage.semanage_direct_commit: Failed to compile hll files into cil files. (No such file or directory).\n\
         /usr/sbin/semodule:  Failed!\n";
    assert_eq!(blame(output, 350), None);
    let summary = summary(output);
    assert!(summary.contains("pp: libsepol.sepol_ppfile_to_module_package: Failed to read"));
    assert!(!summary.contains("semodule:  Failed"), "{summary}");
}

#[test]
fn a_lock_is_no_module_s_fault() {
    let output = "libsemanage.semanage_get_lock: Could not get direct transaction lock at /var/lib/selinux/default/semanage.trans.LOCK. (Resource temporarily unavailable).\n\
         semodule:  Failed on /t/selinuxd.cil!\n";
    assert_eq!(blame(output, 350), None);
    assert!(trouble(output).unwrap().contains("semanage.trans.LOCK"));
    assert_eq!(trouble("Error: Unknown keyword allowwww\n"), None);
}

#[test]
fn odd_output_blames_nobody() {
    for output in [
        "/modules/350/",
        "/modules/350/x/cil:1",
        " at /modules/350//cil:1",
        "at line of /modules/350/x/cil",
        "x at y/modules/350/é",
    ] {
        assert_eq!(blame(output, 350), None, "{output}");
    }
}

#[test]
fn a_message_quotes_the_line() {
    let blame = Blame {
        module: "a".to_owned(),
        line: Some(2),
        reason: "failed to resolve allow statement".to_owned(),
    };
    assert_eq!(
        message(
            &blame,
            b"(block a\n  (allow process foo_t (file (read)))\n)"
        ),
        "line 2: failed to resolve allow statement: (allow process foo_t (file (read)))"
    );
    assert_eq!(
        message(&blame, b""),
        "line 2: failed to resolve allow statement"
    );
    let long = "x".repeat(10_000);
    assert!(message(&blame, format!("\n{long}").as_bytes()).len() < 500);
    assert!(message(&blame, b"\n\x1b[2J").ends_with(": ?[2J"));
}

#[test]
fn the_store_is_listed() {
    let output = "100 base           pp           sha256:aa \n\
                  350 good1          cil          sha256:79d5 \n\
                  350 old            cil         \n\
                  400 good1          cil          disabled sha256:bb\n";
    let expected = BTreeMap::from([
        ("good1".to_owned(), Some(Digest("79d5".to_owned()))),
        ("old".to_owned(), None),
    ]);
    let listed = listing(output, 350);
    assert_eq!(listed.modules, expected);
    assert_eq!(
        listed.elsewhere,
        ["base", "good1"].map(str::to_owned).into()
    );
    assert_eq!(listing("No modules.\n", 350), Listing::default());
}
