//! Words that mean something to the compiler, in each place that a profile can put them.

use spo_api::selinux_profile::{Allow, SelinuxProfileSpec};
use spo_profile::selinux::cil::render;
use spo_profile::selinux::limits::Limits;

use super::compiler::{added, compile};
use super::{expected, limits, name};

/// The keywords of CIL. Source: libsepol 3.8, cil.c, `cil_init_keys`.
const KEYWORDS: &str = "
    condtrue condfalse self notself other object_r * and not or xor all eq neq dom domby incomp
    common condtrue constrain mlsconstrain validatetrans mlsvalidatetrans typealiasactual
    typeattributeset typealias typeattribute expandtypeattribute typebounds typepermissive
    typeneveraudit typetransition typemember typechange roletransition role roletype rolebounds
    roleattribute roleattributeset roleallow user userattribute userattributeset userlevel
    userrange userbounds userprefix userrole selinuxuser selinuxuserdefault class classcommon
    classorder classmap classmapping classpermission classpermissionset permissionx permissionxset
    sensitivity sensitivityalias sensitivityaliasactual sensitivityorder sensitivitycategory
    category categoryalias categoryaliasactual categoryorder categoryset level levelrange context
    sid sidorder sidcontext ibpkeycon ibendportcon filecon genfscon netifcon nodecon portcon
    iomemcon ioportcon pcidevicecon pirqcon devicetreecon fsuse policycap optional defaultuser
    defaultrole defaulttype defaultrange macro block blockabstract blockinherit in before after
    call tunable tunableif boolean booleanif handleunknown mls true false allow dontaudit auditallow
    neverallow allowx dontauditx auditallowx neverallowx deny type source target low high low-high
    glblub range t1 t2 t3 r1 r2 r3 u1 u2 u3 l1 l2 h1 h2 task trans xattr tcp udp dccp sctp reject
    ioctl nlmsg file dir char socket pipe symlink any string name levelrange root src_info lms lmx
    lme cil
";

fn spec(label: &str, class: &str, permissions: &[&str]) -> SelinuxProfileSpec {
    let permissions = permissions.iter().map(|word| (*word).to_owned()).collect();
    let classes = [(class.to_owned(), permissions)].into();
    SelinuxProfileSpec {
        allow: Allow::from([(label.to_owned(), classes)]),
        ..SelinuxProfileSpec::default()
    }
}

/// What is rendered of a rule either does not compile, or means that rule. Says whether it does.
fn check(label: &str, class: &str, permissions: &[&str]) -> bool {
    let spec = spec(label, class, permissions);
    let Ok(text) = render(&name("web"), &spec, &limits()) else {
        return false;
    };
    let Ok(policy) = compile(&[&text]) else {
        return false;
    };
    assert_eq!(added(&policy), expected("web", &spec, &[]), "{text}");
    true
}

#[test]
fn keywords_are_names_or_refused() {
    let mut meant = Vec::new();
    for word in KEYWORDS.split_whitespace() {
        let places = [
            check(word, "file", &["read"]),
            check("http_port_t", word, &["read"]),
            check("http_port_t", "file", &[word]),
            check("http_port_t", "file", &[word, "read"]),
        ];
        if places.contains(&true) {
            meant.push(word);
        }
    }
    assert_eq!(meant, ["self", "ioctl", "file", "dir"]);
}

#[test]
fn profiles_may_have_the_name_of_a_keyword() {
    for word in KEYWORDS.split_whitespace() {
        let Ok(name) = spo_profile::selinux::name::BlockName::parse(word) else {
            continue;
        };
        let spec = spec("@self", "file", &["read"]);
        let text = render(&name, &spec, &limits()).unwrap();
        let policy = compile(&[&text]).unwrap_or_else(|said| panic!("{word}: {said}"));
        assert_eq!(added(&policy), expected(word, &spec, &[]), "{text}");
    }
}

/// The compiler takes these for what the deny lists name, so they must not get through.
#[test]
fn other_words_for_what_is_denied_are_refused() {
    let check = |rule: &str, grants: &str, spec: SelinuxProfileSpec| {
        let text = format!("(block web (blockinherit container) {rule})");
        let policy = compile(&[&text]).unwrap_or_else(|said| panic!("{rule}: {said}"));
        assert!(added(&policy).contains(grants), "{rule}: {policy:?}");
        let said = render(&name("web"), &spec, &Limits::default());
        assert!(said.is_err(), "{said:?}");
    };
    for label in [".shadow_t", "..shadow_t", "...shadow_t"] {
        check(
            &format!("(allow process {label} (file (read)))"),
            "allow web.process shadow_t file read",
            spec(label, "file", &["read"]),
        );
    }
    for class in [".capability", "..capability"] {
        check(
            &format!("(allow process self ({class} (sys_admin)))"),
            "allow web.process web.process capability sys_admin",
            spec("self", class, &["sys_admin"]),
        );
    }
    for permissions in [&["all"][..], &["not", "read"]] {
        let permissions = permissions.to_vec();
        check(
            &format!(
                "(allow process var_log_t (file ({})))",
                permissions.join(" ")
            ),
            "allow web.process var_log_t file relabelto",
            spec("var_log_t", "file", &permissions),
        );
    }
}
