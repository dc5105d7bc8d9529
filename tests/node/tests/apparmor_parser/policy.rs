//! Policies: whatever the reader lets through defines this one profile in the eyes of the parser, in
//! our mode, and includes nothing but files of AppArmor.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use spo_api::apparmor_profile::{AppArmorProfileSpec, Mode};
use spo_profile::apparmor;

use super::parser;
use super::spec::NAME;

const POLICY: &str = r#"abi <abi/3.0>,
include <tunables/global>
@{DATA} = /data "/srv/da ta"
# comment
profile subject flags=(complain, attach_disconnected) {
  include <abstractions/base>
  file /usr/bin/{web,worker} ix,
  owner "/srv/a b/**" rwk,  # a blank
  signal (send, receive) set=(term, kill) peer="web//worker",
  mount fstype=(tmpfs, proc)
    options=(ro, nosuid) -> /mnt/**,
  /bin/worker cx -> worker,
  change_profile -> other,
  owner {
    @{DATA}/** r,
  }
  profile worker {
    /dev/null rw,
  }
  hat admin flags=(enforce) {
  }
}
"#;

/// Pieces which could change what the text defines.
const PIECES: [&str; 44] = [
    "\"",
    "\\",
    "\n",
    " ",
    ",",
    "{",
    "}",
    "(",
    ")",
    "^",
    "=",
    ":",
    "#",
    "@{",
    "@{x}",
    "/",
    "..",
    "a",
    "->",
    " r,",
    "\n}\n",
    "profile other {\n}\n",
    "\nprofile other { }\n",
    "}\n/bin/other {",
    "^hat { }\n",
    "hat x {",
    "profile ",
    "subject",
    " /usr/bin/x ",
    ":ns:",
    "flags=(unconfined)",
    "flags=(kill) ",
    "xattrs=(a=b) ",
    "#include </etc/passwd>",
    "\n#include \"/etc/passwd\"\n",
    "include /etc/passwd\n",
    " include <../passwd>",
    "@{x}=a b\n",
    "if ",
    "else {",
    "owner {",
    "\\\n",
    "\t",
    "#\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_policy_defines_its_profile_only(
        edits in prop::collection::vec(
            (any::<Index>(), select(&PIECES[..]), 0_usize..12),
            1..4,
        ),
    ) {
        let mut policy = POLICY.to_owned();
        for (at, piece, cut) in edits {
            let at = at.index(policy.len() + 1);
            let end = (at + cut).min(policy.len());
            policy.replace_range(at..end, piece);
        }
        let spec = AppArmorProfileSpec {
            mode: Mode::Enforce,
            policy: Some(policy),
            ..AppArmorProfileSpec::default()
        };
        let Ok(text) = apparmor::render(NAME, &spec) else {
            return Ok(());
        };
        let Ok(names) = parser::names(&text) else {
            return Ok(());
        };
        prop_assert_eq!(apparmor::defines_only(NAME, &names), Ok(()), "{}", text);
        // Includes are left where they are if they are not found, so the parser shows them all.
        let shown = parser::expanded(&text).unwrap_or_default();
        prop_assert!(!shown.contains("root:x:0"), "{}", text);
        prop_assert!(!text.contains("passwd") || !includes(&text), "{}", text);
        prop_assert!(!text.contains("flags=(complain"), "{}", text);
    }
}

/// Whether a line names a file outside of AppArmor's folders as one to include.
fn includes(text: &str) -> bool {
    let includes = |line: &str| {
        let line = line.trim_start();
        let rest = line
            .strip_prefix("#include")
            .or(line.strip_prefix("include "));
        rest.is_some_and(|rest| rest.contains("passwd"))
    };
    text.lines().any(includes)
}

#[test]
fn the_parser_reads_a_policy() {
    for (mode, word) in [(Mode::Enforce, "enforce"), (Mode::Complain, "complain")] {
        let spec = AppArmorProfileSpec {
            mode,
            policy: Some(POLICY.to_owned()),
            ..AppArmorProfileSpec::default()
        };
        let text = apparmor::render(NAME, &spec).unwrap();
        parser::compile(&text).unwrap();
        let names = parser::names(&text).unwrap();
        let listed: Vec<&str> = names.lines().collect();
        assert_eq!(listed, ["subject", "subject//admin", "subject//worker"]);
        assert_eq!(text.matches(&format!("flags=({word}")).count(), 3, "{text}");
    }
}
