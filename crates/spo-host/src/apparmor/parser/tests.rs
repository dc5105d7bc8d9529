//! With the real program, which needs no kernel with AppArmor.

#![expect(clippy::disallowed_methods, reason = "somebody else wrote these files")]

use std::fs::{Permissions, create_dir_all, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;

use super::*;

const GOOD: &str = "#include <tunables/global>\nprofile web flags=(attach_disconnected) {\n  \
                    #include <abstractions/base>\n  /bin/ls ixr,\n}\n";

fn parser() -> Option<Parser> {
    let found = Parser::find(None);
    if found.is_none() {
        eprintln!("not tested: there is no apparmor_parser here; install the package apparmor");
    }
    Some(Parser::new(
        found?,
        vec!["/etc/apparmor.d".into()],
        Limits::default(),
    ))
}

/// A program which does what a test needs.
fn script(lines: &str, limits: Limits) -> (tempfile::TempDir, Parser) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("parser");
    write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let parser = Parser::new(path, Vec::new(), limits);
    (dir, parser)
}

#[tokio::test]
async fn a_profile_is_compiled_and_names_itself() {
    let Some(parser) = parser() else { return };
    let binary = parser.compile(GOOD).await.unwrap();
    // The format is that of the kernel: it starts with the field `version`.
    assert!(binary.starts_with(b"\x04\x08\0version\0"), "{binary:?}");
    assert_eq!(binary, parser.compile(GOOD).await.unwrap());
    assert_eq!(parser.names(GOOD).await.unwrap(), ["web"]);
    let several = "profile \"a b\" {\n  ^hat { }\n}\n/usr/bin/foo { }\n";
    let mut names = parser.names(several).await.unwrap();
    names.sort_unstable();
    assert_eq!(names, ["/usr/bin/foo", "a b", "a b//hat"]);
    assert!(parser.version().await.unwrap().contains("parser version"));
}

#[tokio::test]
async fn an_error_says_where_it_is() {
    let Some(parser) = parser() else { return };
    let cases = [
        ("profile a {\n  /x zz,\n}\n", "line 2: ", "\"/x zz,\""),
        ("profile a {\n  /[ r,\n}\n", "line 2: ", "\"/[ r,\""),
        ("profile a {\n  @{NOPE} r,\n}\n", "", "NOPE"),
        ("#include <tunables/nope>\n", "line 1: ", "tunables/nope"),
        (
            "profile a {\n  /x px,\n  /x ix,\n}\n",
            "",
            "conflicting x modifiers",
        ),
        ("profile a {\n", "line 2: ", "end of file"),
    ];
    for (text, start, part) in cases {
        let error = parser.compile(text).await.unwrap_err();
        assert!(matches!(error, Error::Syntax(_)), "{error:?}");
        let told = error.to_string();
        assert!(told.starts_with(start) && told.contains(part), "{told}");
    }
}

#[tokio::test]
async fn includes_are_looked_for_in_their_order() {
    let Some(program) = Parser::find(None) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for (at, rule) in [("first", "/first zz,\n"), ("last", "/last r,\n")] {
        let at = dir.path().join(at).join("abstractions");
        create_dir_all(&at).unwrap();
        write(at.join("both"), rule).unwrap();
    }
    write(dir.path().join("last/abstractions/one"), "/one r,\n").unwrap();
    let includes = vec![dir.path().join("first"), dir.path().join("last")];
    let parser = Parser::new(program, includes, Limits::default());
    let text = |name| format!("profile a {{\n  #include <abstractions/{name}>\n}}\n");
    let error = parser.compile(&text("both")).await.unwrap_err().to_string();
    assert!(error.starts_with("line 1 of "), "{error}");
    assert!(error.contains("/first/abstractions/both: "), "{error}");
    assert!(parser.compile(&text("one")).await.is_ok());
}

#[tokio::test]
async fn time_output_and_memory_are_limited() {
    let limits = |time| Limits {
        time: Duration::from_millis(time),
        output: 4096,
        ..Limits::default()
    };
    let (_dir, slow) = script("exec sleep 100", limits(200));
    assert!(matches!(slow.compile("").await, Err(Error::Slow { .. })));
    let (_dir, big) = script("exec yes", limits(20_000));
    assert!(matches!(big.compile("").await, Err(Error::Big { .. })));
    let (_dir, chatty) = script("yes error | head -c 200000 >&2; exit 1", limits(20_000));
    assert!(matches!(
        chatty.compile("").await,
        Err(Error::Syntax(_) | Error::Big { .. })
    ));
    let Some(program) = Parser::find(None) else {
        return;
    };
    let memory = Limits {
        memory: 16 << 20,
        ..limits(20_000)
    };
    let small = Parser::new(program, Vec::new(), memory);
    let rules: String = (0..4000)
        .map(|n| format!("  /**{n}**/**/{n}* r,\n"))
        .collect();
    let error = small.compile(&format!("profile a {{\n{rules}}}\n")).await;
    assert!(
        matches!(error, Err(Error::Big { .. } | Error::Slow { .. })),
        "{:?}",
        error.map(|binary| binary.len())
    );
}

#[tokio::test]
async fn the_environment_is_not_handed_on() {
    let (_dir, parser) = script("env; cat", Limits::default());
    let output = parser.compile("the text").await.unwrap();
    let output = String::from_utf8(output).unwrap();
    assert!(output.ends_with("the text"), "{output}");
    assert!(!output.contains("CARGO"), "{output}");
    assert!(!output.contains("HOME"), "{output}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let parser = Parser::new("/nowhere/parser".into(), Vec::new(), Limits::default());
    let error = parser.compile("").await.unwrap_err().to_string();
    assert_eq!(error, "cannot run /nowhere/parser");
    assert_eq!(Parser::find(Some(Path::new("/nowhere/parser"))), None);
}
