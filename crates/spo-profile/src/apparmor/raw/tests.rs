//! Policies and what becomes of them.

use spo_api::apparmor_profile::Mode;

use super::super::problem::Wrong;
use super::super::word::Name;

fn render(policy: &str) -> Result<String, Wrong> {
    super::render(&Name::parse("web").unwrap(), Mode::Complain, policy)
}

/// Within the profile.
fn rules(rules: &str) -> Result<String, Wrong> {
    render(&format!("profile web {{\n{rules}\n}}\n"))
}

#[test]
fn the_mode_is_that_of_the_object() {
    for (written, expected) in [
        (
            "profile web {",
            "flags=(complain,attach_disconnected,mediate_deleted) {",
        ),
        ("profile web flags=() {", "flags=(complain) {"),
        ("profile \"web\" flags=(enforce) {", "flags=(complain) {"),
        (
            "profile web flags=(complain,audit) {",
            "flags=(complain,audit) {",
        ),
        (
            "  profile web flags=(attach_disconnected, mediate_deleted) { # x",
            "flags=(complain,attach_disconnected,mediate_deleted) {",
        ),
    ] {
        let text = render(&format!("{written}\n}}\n")).unwrap();
        assert!(super::super::is_ours(&text));
        assert!(
            text.contains(&format!("profile web {expected}\n}}\n")),
            "{text}"
        );
    }
}

#[test]
fn a_policy_stays_as_it_is() {
    let policy = r#"abi <abi/3.0>,
include <tunables/global>
#include if exists <tunables/home.d>  # why
@{DATA} = /data /srv/data
@{DATA}+="/more data"
alias /usr/bin/ -> /bin/,

# a comment with include <this>, { and "
profile web flags=(complain,attach_disconnected) {
  include <abstractions/base>
  include if exists <abstractions/web.d>
  file /usr/bin/{web,worker} ix,
  owner "/srv/a b/**" rwk,  # a blank
  /a/{b,c}/*,d r,
  audit deny /etc/** wl,
  capability net_bind_service, capability chown,
  signal (send, receive) set=(term, kill) peer="web//worker",
  unix (connect) type=stream peer=(label=other, addr="@x y"),
  mount fstype=(tmpfs,proc)
    options=(ro, nosuid) -> /mnt/**,
  mount options=(bind) /a -> @{DATA}/,
  link subset /a -> /**,
  rlimit nofile <= 1024,
  change_profile /bin/sh -> other,
  change_profile -> @{profile_name}//worker,
  /bin/worker cx -> worker,
  /bin/x Px -> "other",
  owner {
    /home/** r,
  }
  deny { /x r, }
  profile worker flags=(complain,mediate_deleted) {
    /dev/null rw,
  }
  hat admin flags=(complain) {
  }
}"#;
    let expected = format!("\n{}\n{policy}\n", super::super::HEADER);
    assert_eq!(render(policy).unwrap(), expected);
}

#[test]
fn a_policy_is_about_its_profile_only() {
    for policy in [
        "",
        "# nothing\n",
        "profile other { }\n",
        "profile web { }\nprofile other { }\n",
        "profile web { }\nprofile web { }\n",
        "profile web { } profile other { }\n",
        "profile :ns:web { }\n",
        "profile \":ns:web\" { }\n",
        "profile web//child { }\n",
        "profile @{x} { }\n",
        "profile *web { }\n",
        "profile w\\x65b { }\n",
        "profile\nweb { }\n",
        "profile web\n{ }\n",
        "profile #web\n{ }\n",
        "profile web { }\n/usr/bin/other { }\n",
        "profile web { }\n\"/usr/bin/other\" { }\n",
        "@{x} { }\nprofile web { }\n",
        "@{x} = a { }\nprofile web { }\n",
        "^web { }\n",
        "hat web { }\n",
        "profile web /usr/bin/web { }\n",
        "profile web \"/usr/bin/web\" { }\n",
        "profile web @{bin}/web { }\n",
        "profile web xattrs=(user.a=b) { }\n",
        "profile web flags=(unconfined) { }\n",
        "profile web flags=(kill) { }\n",
        "profile web flags=(default_allow) { }\n",
        "profile web flags=(prompt) { }\n",
        "profile web flags=(complain) flags=(audit) { }\n",
        "profile web (complain) { }\n",
        "profile web {\n",
        "profile web { }\n}\n",
        "profile web { } }\n",
        "web { }\n",
        "/a r,\nprofile web { }\n",
        "$x=true\nprofile web { }\n",
        "abi \"/etc/passwd\",\nprofile web { }\n",
        "abi <../x>,\nprofile web { }\n",
        "profile web { }\r \n",
        "profile web { }\u{0}\n",
    ] {
        let wrong = render(policy).expect_err(policy);
        assert!(!wrong.fix.is_empty(), "{wrong:?}");
    }
}

#[test]
fn only_files_of_apparmor_are_included() {
    for include in [
        "include \"/etc/passwd\"",
        "include /etc/passwd",
        "#include /etc/passwd",
        "#include </etc/passwd>",
        "#include <abstractions/../../passwd>",
        "#include <abstractions/./base>",
        "#include <abstractions/>",
        "#include <abstractions>",
        "#include <local/x>",
        "#include \"abstractions/base\"",
        "#include<abstractions/base>",
        "#include",
        "#includes everything",
        "include",
        "include if exists \"/etc/passwd\"",
        "include if exists </etc/passwd>",
        "include <abstractions/base> <abstractions/x>",
        "include <abstractions/base> /a r,",
        "include <abstractions/base> #include </etc/passwd>",
        "/a r, #include </etc/passwd>",
        "/a r,#include </etc/passwd>",
        "/a r, include </etc/passwd>",
        "/a#include r,",
        "@{x}#include </etc/passwd>",
        "\"/a\"#include </etc/passwd>",
        "/a\"b\"#include </etc/passwd>",
        "/a r\n#include <abstractions/base>\n,",
        "/a\\ #include </etc/passwd>\nr,",
    ] {
        let policy = format!("profile web {{\n{include}\n}}\n");
        assert!(render(&policy).is_err(), "{include}");
        assert!(
            render(&format!("{include}\nprofile web {{ }}\n")).is_err(),
            "{include}"
        );
    }
}

#[test]
fn nothing_leads_out_of_confinement() {
    for rule in [
        "/a ux,",
        "/a Ux,",
        "/a rux,",
        "ux /a,",
        "audit /a pux,",
        "/a PUx -> b,",
        "/a Cux,",
        "file /a\n ux,",
        "owner { /a ux, }",
        "change_profile,",
        "audit change_profile,",
        "change_profile /a,",
        "change_profile -> unconfined,",
        "change_profile -> \"unconfined\",",
        "change_profile\n->\nunconfined,",
        "change_profile->unconfined,",
        "change_profile -> **,",
        "change_profile -> @{x},",
        "change_profile -> :ns:web,",
        "change_profile -> web//&unconfined,",
        "change_profile/a,",
        "/a px -> unconfined,",
        "/a px -> :ns:x,",
        "/a px -> &unconfined,",
        "pivot_root oldroot=/a /b -> unconfined,",
    ] {
        assert!(rules(rule).is_err(), "{rule}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for rule in [
        "/a r",
        "/a r,/b w,",
        "/a r,}",
        "/a\" b\" r,",
        "\"/a",
        "\"/a\"b r,",
        "/a\\ b r,",
        "/a\\",
        "/a{b r,",
        "/a}b r,",
        "{/a,/b} r,",
        "profile x{ }",
        "/a r, profile x { }",
        "/a r, ^x { }",
        "x { }",
        "if defined @{x} { /a r, }",
        "signal (send { /a r, }",
        "signal send) ,",
        "owner { profile x {\n} }",
        "profile x flags=(unconfined) {\n}",
        "hat \"a b\" {\n}",
        "profile :ns:x {\n}",
        "/a r, # \u{1b}[31m",
    ] {
        assert!(rules(rule).is_err(), "{rule}");
    }
    let wrong = rules("/a r,\n/b ux,\n").unwrap_err();
    assert!(wrong.message.starts_with("line 3: "), "{wrong:?}");
}
