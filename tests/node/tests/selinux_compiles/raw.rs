//! Raw policies that would leave their block. The compiler lets them; our check does not.

use spo_profile::selinux::raw::{check, wrap};

use super::compiler::{added, compile};
use super::name;

/// Another profile, which is not the raw one's business.
const VICTIM: &str = "(block victim\n(blockinherit container)\n)\n";

/// Fails unless the compiler does what the policy is after, and the check refuses it.
fn check_escape(policy: &str, gains: &str) {
    let wrapped = wrap(&name("raw"), policy);
    let compiled = compile(&[VICTIM, &wrapped]).unwrap_or_else(|said| panic!("{policy}: {said}"));
    assert!(added(&compiled).contains(gains), "{policy}: {compiled:?}");
    let said = check(policy, &|name| name == "container");
    assert!(said.is_err(), "{policy} passes");
}

#[test]
fn escapes_work_and_are_refused() {
    let permissive = "typepermissive kernel_t";
    for policy in [
        "(blockinherit container)) (typepermissive kernel_t) (block x (blockinherit container)",
        "(blockinherit container) (typepermissive .kernel_t)",
        "(blockinherit container) (optional x (typepermissive .kernel_t))",
        "(blockinherit container) (macro m () (typepermissive kernel_t)) (call m)",
        "(blockinherit container) (\"typepermissive\" kernel_t)",
        "(blockinherit container) ( ; here\n typepermissive kernel_t)",
        "(blockinherit container) ; comment \r(typepermissive kernel_t)",
    ] {
        check_escape(policy, permissive);
    }
    let victims = "allow victim.process shadow_t file read";
    for policy in [
        "(blockinherit container) (in victim (allow process shadow_t (file (read))))",
        "(blockinherit container) (in .container (allow process shadow_t (file (read))))",
        "(blockinherit container)) (in victim (allow process shadow_t (file (read)))) (block y \
         (blockinherit container)",
    ] {
        check_escape(policy, victims);
    }
    check_escape(
        "(blockinherit victim) (blockinherit net_container)",
        "allow raw.process http_port_t tcp_socket name_bind",
    );
    check_escape(
        "(block inner (blockinherit container))",
        "type raw.inner.process",
    );
}

#[test]
fn what_passes_is_in_the_block() {
    for policy in [
        "(blockinherit container)\n(allow process var_log_t ( file ( read )))",
        "(blockinherit container) ; )\n(allow process var_log_t (file (read)))",
        "(\"blockinherit\" container)(allow process \"var_log_t\" (file (read)))",
        " ;;* lme\n(blockinherit container) (allow process var_log_t (file (read)))",
    ] {
        check(policy, &|name| name == "container").unwrap();
        let wrapped = wrap(&name("raw"), policy);
        let compiled = compile(&[VICTIM, &wrapped]).unwrap_or_else(|said| panic!("{said}"));
        let gained = added(&compiled);
        assert!(gained.contains("allow raw.process var_log_t file read"));
        let strange: Vec<&String> = gained
            .iter()
            .filter(|statement| !statement.contains("raw.process") && !statement.contains("victim"))
            .collect();
        assert_eq!(strange, [] as [&String; 0], "{policy}");
    }
}
