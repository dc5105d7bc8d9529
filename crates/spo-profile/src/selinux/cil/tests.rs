//! The contract's rendering, and what it refuses.

use super::parse::parse;
use super::*;
use spo_api::spod::SelinuxOptions;

fn spec(inherit: &[(InheritKind, &str)], allow: &[(&str, &str, &str)]) -> SelinuxProfileSpec {
    let mut map = Allow::new();
    for (label, class, permissions) in allow {
        let classes = map.entry((*label).to_owned()).or_default();
        let permissions = permissions.split_whitespace().map(str::to_owned).collect();
        classes.insert((*class).to_owned(), permissions);
    }
    SelinuxProfileSpec {
        inherit: inherit
            .iter()
            .map(|(kind, name)| Inherit {
                kind: *kind,
                name: (*name).to_owned(),
            })
            .collect(),
        allow: map,
        ..SelinuxProfileSpec::default()
    }
}

fn limits(system: &[&str]) -> Limits {
    Limits::of(&SelinuxOptions {
        allowed_system_profiles: system.iter().map(|name| (*name).to_owned()).collect(),
        ..SelinuxOptions::default()
    })
}

fn name() -> BlockName {
    BlockName::parse("web").unwrap()
}

fn inherited(inherit: &[(InheritKind, &str)]) -> Vec<String> {
    let limits = limits(&["container", "net_container", "log_container"]);
    let text = render(&name(), &spec(inherit, &[]), &limits).unwrap();
    let lines = text.lines().filter_map(|line| {
        line.strip_prefix("(blockinherit ")
            .and_then(|line| line.strip_suffix(')'))
    });
    lines.map(str::to_owned).collect()
}

#[test]
fn container_comes_first_unless_a_profile_brings_it() {
    use InheritKind::{SelinuxProfile, System};
    for (inherit, expected) in [
        (&[][..], &["container"][..]),
        (&[(System, "container")], &["container"]),
        (
            &[(System, "net_container"), (System, "container")],
            &["container", "net_container"],
        ),
        (
            &[(System, "net_container"), (System, "log_container")],
            &["container", "net_container", "log_container"],
        ),
        (
            &[(System, "net_container"), (System, "net_container")],
            &["container", "net_container"],
        ),
        (&[(SelinuxProfile, "base-web")], &["base-web"]),
        (
            &[
                (SelinuxProfile, "base-web"),
                (System, "container"),
                (System, "net_container"),
            ],
            &["net_container", "base-web"],
        ),
    ] {
        assert_eq!(inherited(inherit), expected, "{inherit:?}");
    }
}

#[test]
fn the_example_of_the_contract_is_reproduced() {
    let mut spec = spec(
        &[(InheritKind::System, "container")],
        &[
            ("http_port_t", "tcp_socket", "name_bind"),
            (SELF, "tcp_socket", "listen"),
        ],
    );
    spec.mode = Mode::Permissive;
    let name = BlockName::parse("nginx-secure").unwrap();
    let expected = "\
(block nginx-secure
(blockinherit container)
(typepermissive process)
(allow process nginx-secure.process ( tcp_socket ( listen )))
(allow process http_port_t ( tcp_socket ( name_bind )))
)
";
    let text = render(&name, &spec, &Limits::default()).unwrap();
    assert_eq!(text, expected);
    let canonical = canonical(&name, &spec);
    assert_eq!(parse(&text, &Limits::default()), Ok((name, canonical)));
}

#[test]
fn permissions_are_a_set() {
    let render = |permissions: &str| {
        let spec = spec(&[], &[("a_t", "file", permissions)]);
        render(&name(), &spec, &Limits::default()).unwrap()
    };
    assert!(render("write read write").contains("( file ( read write )))\n"));
    assert_eq!(render("read write"), render("write write read"));
    assert!(!render("").contains("allow"));
}

fn check_rule(label: &str, class: &str, permissions: &str, expected: &str) {
    let spec = spec(&[], &[(label, class, permissions)]);
    let error = render(&name(), &spec, &Limits::default()).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("spec.allow["), "{error}");
    assert!(error.contains(expected), "{error}, expected {expected}");
}

#[test]
fn denied_names_are_refused_with_field_and_fix() {
    let text = "spec.allow[\"shadow_t\"][\"file\"]: invalid semantic rule for type shadow_t, class \
                file: type shadow_t is denied; remove it, or let an administrator permit it with \
                spec.selinux.options.allowedTypes and deniedTypes of the \
                SecurityProfilesOperatorDaemon";
    check_rule("shadow_t", "file", "read", text);
    let denied = |what: &str| format!("class {what} is denied");
    check_rule(".shadow_t", "file", "read", "type .shadow_t is denied");
    check_rule("a_t", "capability", "x", &denied("capability"));
    check_rule("a_t", ".security", "x", &denied(".security"));
    check_rule("a_t", "file", "read relabelto", "permission relabelto is");
    check_rule(SELF, "capability", "x", &denied("capability"));
    check_rule("shadow_t", "file", "", "type shadow_t is denied");
    check_rule("a_t", "file", "all", "permission all is denied, because");
}

#[test]
fn what_is_no_name_is_refused() {
    for label in [
        "", "a b", "a)", "(a", "a;", "a\"", "a\n", "1a", "é", "@x", "a..b",
    ] {
        check_rule(label, "file", "read", ": invalid label key");
    }
    for label in ["notself", "other", "..shadow_t"] {
        let text = format!("'{label}' didn't match expected characters: invalid label key");
        check_rule(label, "file", "read", &text);
    }
    for class in ["", "a b", "file)", "..capability", "1", "file\n)"] {
        check_rule("a_t", class, "read", ": invalid object class");
    }
    for permission in ["not", "and", "or", "xor", "read)", "(all)", ".read", "1"] {
        check_rule("a_t", "file", permission, ": invalid permission");
    }
    let text = "spec.allow[\"a\\n\"]: 'a\\n' didn't match";
    check_rule("a\n", "file", "read", text);
}

#[test]
fn only_allowed_policies_of_the_node_are_inherited() {
    let check = |kind, inherited: &str, expected: &str| {
        let limits = limits(&["container", "a b"]);
        let error = render(&name(), &spec(&[(kind, inherited)], &[]), &limits).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("spec.inherit[0].name: "), "{error}");
        assert!(error.contains(expected), "{error}, expected {expected}");
    };
    check(
        InheritKind::System,
        "net_container",
        "system profile \"net_container\" not in SecurityProfilesOperatorDaemon's allow list: \
         system profile not allowed; add it to",
    );
    check(InheritKind::System, "a b", "\"a b\" is not the name");
    check(InheritKind::SelinuxProfile, "a)", "\"a)\" is not the name");
}

#[test]
fn other_texts_are_not_taken_for_profiles() {
    let check = |text: &str, expected: &str| {
        let error = parse(text, &Limits::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
    };
    check("", "not one policy block");
    check("(block a) (block b)", "not one policy block");
    check("(type a)", "not one policy block");
    check(
        "(block container (type process))",
        "name of a policy of the",
    );
    check("(block a (type process))", "statement 1 ");
    check("(block a (blockinherit b) x)", "statement 2 ");
    check("(block a (allow b c (d (e))))", "statement 1 ");
    check("(block a (allow process c (d (not (e)))))", "statement 1 ");
    check("(block a", "unbalanced parentheses");
}
