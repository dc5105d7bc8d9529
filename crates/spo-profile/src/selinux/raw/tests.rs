//! The tables of the contract (01, 8.1), and what its scanner got wrong.

use super::*;

fn check_policy(policy: &str, expected: Result<(), &str>) {
    let allowed = |name: &str| ["container", "net_container"].contains(&name);
    let said = check(policy, &allowed);
    match (&said, expected) {
        (Ok(()), Ok(())) => {}
        (Err(refusal), Err(text)) if refusal.to_string().contains(text) => {}
        _ => panic!("{policy:?}: {said:?}, expected {expected:?}"),
    }
}

fn passes(policy: &str) {
    check_policy(policy, Ok(()));
}

fn fails(policy: &str, text: &str) {
    check_policy(policy, Err(text));
}

const RESTRICTED_TEXT: &str =
    "invalid policy: use of restricted global directive 'typepermissive' is not allowed";
const UNMATCHED: &str = "invalid policy: unmatched closing parenthesis ')' allows block escape";
const UNBALANCED: &str = "invalid policy: unbalanced parentheses";
const OPEN_STRING: &str = "a quoted string must end on the line";
const LINE_MARK: &str = "a line mark ';;*' is not allowed";

#[test]
fn the_contract_lets_pass() {
    passes("(allow container_t shadow_t (file (read open)))");
    passes("(((( )))) () (())");
    passes("(allow typepermissive file (read))");
    passes("(type my_container_t) (typealias my_alias_t (my_container_t))");
    passes("(blockinherit container)\n(allow process process ( tcp_socket ( append bind )))");
}

#[test]
fn the_contract_refuses() {
    for empty in ["", " \n\t", "\u{a0}"] {
        fails(empty, "policy must not be empty");
    }
    fails("(type a\0)", "policy must not contain null bytes");
    fails("(typepermissive spc_t)", RESTRICTED_TEXT);
    fails("(TYPEPERMISSIVE spc_t)", RESTRICTED_TEXT);
    fails("( \t \n typepermissive spc_t)", RESTRICTED_TEXT);
    fails("(typepermissive", RESTRICTED_TEXT);
    fails("(typepermissive(x))", RESTRICTED_TEXT);
    fails("(classorder (file dir))", "'classorder'");
    fails(
        "(allow my_t my_test_t (file (read))) (mls (sensitivity s0))",
        "'mls'",
    );
    fails(") (typepermissive spc_t) (block x", UNMATCHED);
    fails("(allow container_t (file (read)", UNBALANCED);
}

#[test]
fn every_restricted_statement_is_refused() {
    // Compilers take `in` for what it is at any depth.
    fails("(in container (allow process x (y (z))))", "'in'");
    for statement in RESTRICTED {
        fails(
            &format!("(type x) (({statement} y))"),
            &format!("'{statement}'"),
        );
        passes(&format!("(type {statement})"));
    }
    assert!(RESTRICTED.is_sorted());
}

#[test]
fn comments_are_not_policy() {
    passes("(type x) ; ) (typepermissive y");
    passes("; (((\n(type x)");
    passes("(type x);)");
    passes("(type ; x)\n y)");
    passes("(type x) ;;* not at the start of a line");
    fails("( ; here\n typepermissive x)", RESTRICTED_TEXT);
    fails("(;\ntypepermissive x)", RESTRICTED_TEXT);
    fails(
        "(type x) ; ends at a carriage return \r(typepermissive x)",
        RESTRICTED_TEXT,
    );
    fails("(type x ;)", UNBALANCED);
    fails("; (\n)", UNMATCHED);
}

#[test]
fn strings_are_words() {
    passes(r#"(typetransition a b file "(x;" c)"#);
    passes(r#"(allow "typepermissive" file (read))"#);
    fails(r#"("typepermissive" spc_t)"#, RESTRICTED_TEXT);
    passes("(type \"a)\" )");
    fails("(type \")\n", OPEN_STRING);
    fails("(type \"\n\")", OPEN_STRING);
}

/// The compiler's lexer sees strings in comments, too; in some versions over several lines.
#[test]
fn a_string_does_not_hide_the_end_of_a_comment() {
    passes("; a \"quoted\" word\n(type x)");
    fails("; \"\n ( ; \"\n )", OPEN_STRING);
    fails("; \"\r\" (\n)", OPEN_STRING);
}

/// In the compiler they open and close lists.
#[test]
fn line_marks_are_refused() {
    fails(";;* lmx 1 file\n(type x)\n;;* lme\n", LINE_MARK);
    fails("(type x)\n;;* lme\n", LINE_MARK);
    passes("(type x)\n ;;* lme\n");
    passes(";; * a heading\n(type x)");
}

#[test]
fn only_allowed_blocks_are_inherited() {
    let refused = |name: &str| {
        format!(
            "invalid policy: use of restricted global directive 'blockinherit' is not allowed for \
             '{name}'"
        )
    };
    for policy in [
        "(blockinherit container)",
        "( blockinherit net_container ) ; base",
        "(BlockInherit \"container\")",
        "(blockinherit ; the base\n container)",
        "(x (blockinherit container))",
    ] {
        passes(policy);
    }
    fails("(blockinherit other)", &refused("other"));
    fails("(blockinherit Container)", &refused("Container"));
    fails(
        "(blockinherit container.process)",
        &refused("container.process"),
    );
    fails("(blockinherit)", &refused(""));
    fails("(blockinherit (container))", &refused(""));
    fails(
        "(blockinherit container other)",
        &refused("container other"),
    );
    fails("(blockinherit container (x))", &refused("container ("));
    fails("(blockinherit container", UNBALANCED);
    fails("(blockinherit", UNBALANCED);
    fails("(blockinherit container))", UNMATCHED);
    fails(
        "(blockinherit container) (typepermissive x)",
        RESTRICTED_TEXT,
    );
}

#[test]
fn what_is_inherited_is_found() {
    let policy =
        "(blockinherit a) ; (blockinherit b)\n(macro m () (blockinherit c))(blockinherit a)";
    assert_eq!(inherits(policy), ["a", "c"]);
    assert_eq!(inherits("(type x)"), [""; 0]);
    assert_eq!(inherits("(blockinherit a) (sid x) (blockinherit b)"), ["a"]);
}

#[test]
fn policies_have_an_end() {
    passes(&format!("(type x){}", " ".repeat(POLICY_MAX - 8)));
    fails(
        &format!("(type x){}", " ".repeat(POLICY_MAX - 7)),
        "it is 500001 characters long, and 500000 are the most",
    );
    passes(&format!("(type x);{}", "é".repeat(POLICY_MAX - 9)));
}

#[test]
fn the_block_has_the_name_of_the_profile() {
    let name = BlockName::parse("errorlogger").unwrap();
    let policy = "\n(blockinherit container)\n\n(allow process a_t ( dir ( open ))) ; x\n";
    let wrapped = wrap(&name, policy);
    let expected = "(block errorlogger\n    (blockinherit container)\n    \n    (allow process a_t ( dir \
                    ( open ))) ; x\n)";
    assert_eq!(wrapped, expected);
    assert!(is_wrapped(&name, &wrapped));
    for other in [
        "(block other\n    (type x)\n)",
        "(block errorlogger\n    (type x)\n)\n",
        "(block errorlogger\n(type x)\n)",
        "(block errorlogger\n    (type x)\n(type y)\n)",
        "",
    ] {
        assert!(!is_wrapped(&name, other), "{other}");
    }
}

/// What the wrapping removes and adds does not move a statement out of its list.
#[test]
fn a_wrapped_policy_says_the_same() {
    use crate::selinux::tree::{Tree, read};
    let name = BlockName::parse("web").unwrap();
    for policy in [
        " ;;* lme",
        "(type x) ; the end",
        "(type x)\r; comment\r\n(type y)",
        "\u{a0}(type x)\u{2028}",
        "; only a comment",
        "(typetransition a b file \"(x;\" c)",
    ] {
        passes(policy);
        let wrapped = wrap(&name, policy);
        let trees = read(&wrapped).unwrap();
        let mut expected = vec![Tree::Word("block"), Tree::Word("web")];
        let body = format!(" {}", policy.trim());
        expected.extend(read(&body).unwrap());
        assert_eq!(trees, [Tree::List(expected)], "{wrapped}");
    }
}
