//! Pure. Whether a RawSelinuxProfile may be stored: its policy must stay in the block that it is put
//! into (contract 04, 6).

use serde_json::Value;
use spo_profile::selinux::raw::{Refusal, check};

use super::decision::Decision;
use super::review::{Request, Verb};
use crate::cache::Cache;

/// Names that a refusal lists. A cluster may have thousands of profiles.
const LISTED: usize = 20;

/// Decides on a RawSelinuxProfile, of any served version: they agree on what is read here.
pub fn decide(request: &Request, cache: &Cache) -> Decision {
    let object = &request.object;
    match request.operation {
        Verb::Create | Verb::Update => {}
        Verb::Delete | Verb::Connect => return Decision::allow(""),
    }
    // Whoever only adds a label, or lets an object go, must not be held up by what was stored
    // under older rules.
    let spec = object.get("spec");
    let unchanged = request.operation == Verb::Update && spec == request.old_object.get("spec");
    let deleted = object.pointer("/metadata/deletionTimestamp");
    if object.is_object() && (unchanged || deleted.is_some_and(|time| !time.is_null())) {
        return Decision::allow("");
    }
    let policy = match policy(object) {
        Ok(policy) => policy,
        Err(wrong) => {
            return Decision::Deny {
                code: 400,
                message: format!(
                    "unable to decode RawSelinuxProfile {}: {wrong}",
                    request.name
                ),
            };
        }
    };
    let own = object.pointer("/metadata/name").and_then(Value::as_str);
    let allowed = |name: &str| Some(name) != own && cache.may_inherit(name);
    match check(policy, &allowed) {
        Ok(()) => Decision::allow(""),
        Err(refusal) => Decision::Deny {
            code: 403,
            message: match refusal {
                Refusal::Inherit(_) => format!("{refusal}; {}", inheritable(cache, own)),
                _ => refusal.to_string(),
            },
        },
    }
}

/// The policy of a profile, empty if it has none.
fn policy(object: &Value) -> Result<&str, &'static str> {
    let object = object.as_object().ok_or("it is not an object")?;
    let spec = match object.get("spec") {
        None | Some(Value::Null) => return Ok(""),
        Some(spec) => spec.as_object().ok_or("spec is not an object")?,
    };
    match spec.get("policy") {
        None | Some(Value::Null) => Ok(""),
        Some(policy) => policy.as_str().ok_or("spec.policy is not a text"),
    }
}

/// What may be inherited, as a sentence.
fn inheritable(cache: &Cache, own: Option<&str>) -> String {
    let names: Vec<&str> = cache
        .inheritable()
        .into_iter()
        .filter(|name| Some(*name) != own)
        .collect();
    if names.is_empty() {
        return "nothing may be inherited: allowedSystemProfiles is empty and there is no other \
                profile"
            .to_owned();
    }
    let (listed, more) = names.split_at(names.len().min(LISTED));
    let more = match more.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "allowed are those of allowedSystemProfiles and existing profiles: {}{more}",
        listed.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;
    use spo_api::profile::ProfileKind;

    use super::*;
    use crate::cache::{Profile, Seen};

    fn cache(profiles: &[&str]) -> Cache {
        let mut cache = Cache::new("spod");
        for name in profiles {
            let profile = ((*name).to_owned(), Profile::default());
            cache.observe(Seen::Profile(
                ProfileKind::SelinuxProfile,
                Event::Apply(profile),
            ));
        }
        for seen in Seen::all_listed() {
            cache.observe(seen);
        }
        cache
    }

    fn ask(operation: &str, object: Value, old_object: Value, cache: &Cache) -> Decision {
        let request = json!({
            "uid": "u1",
            "name": "mine",
            "operation": operation,
            "object": object,
            "oldObject": old_object,
        });
        decide(&serde_json::from_value(request).unwrap(), cache)
    }

    fn object(policy: &str) -> Value {
        json!({"metadata": {"name": "mine"}, "spec": {"policy": policy}})
    }

    fn check_policy(policy: &str, expected: &str) {
        let said = match ask("CREATE", object(policy), Value::Null, &cache(&["b", "a"])) {
            Decision::Allow { message, .. } => message,
            Decision::Deny { code, message } => format!("{code} {message}"),
            Decision::Patch { .. } => panic!("a patch"),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn policies_are_checked() {
        check_policy(
            "(blockinherit container) (allow process process (x (y)))",
            "",
        );
        check_policy("(blockinherit a)", "");
        check_policy(" ", "403 policy must not be empty");
        check_policy(
            "(mls true)",
            "403 invalid policy: use of restricted global directive 'mls' is not allowed",
        );
        let refused = |name: &str| {
            format!(
                "403 invalid policy: use of restricted global directive 'blockinherit' is not \
                 allowed for '{name}'; allowed are those of allowedSystemProfiles and existing \
                 profiles: a, b, container"
            )
        };
        check_policy("(blockinherit other)", &refused("other"));
        check_policy("(blockinherit mine)", &refused("mine"));
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..30).map(|number| format!("p{number:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = inheritable(&cache(&names), None);
        assert!(text.ends_with("p17, p18 and 11 more"), "{text}");
    }

    #[test]
    fn what_does_not_change_the_policy_passes() {
        let cache = cache(&[]);
        let allowed = Decision::allow("");
        let bad = object("(mls true)");
        let mut labelled = bad.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        assert_eq!(ask("UPDATE", labelled, bad.clone(), &cache), allowed);
        let mut deleted = object("(sid x)");
        deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(ask("UPDATE", deleted, bad.clone(), &cache), allowed);
        assert_eq!(ask("DELETE", Value::Null, bad.clone(), &cache), allowed);
        assert_ne!(ask("UPDATE", object("(sid x)"), bad, &cache), allowed);
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        let check = |object: Value, code: u16| {
            let decision = ask("CREATE", object, Value::Null, &cache(&[]));
            assert!(
                matches!(decision, Decision::Deny { code: said, .. } if said == code),
                "{decision:?}"
            );
        };
        check(Value::Null, 400);
        check(json!([]), 400);
        check(json!({"spec": 1}), 400);
        check(json!({"spec": {"policy": 1}}), 400);
        check(json!({}), 403);
        check(json!({"spec": {"policy": null}}), 403);
        let update = ask("UPDATE", Value::Null, Value::Null, &cache(&[]));
        assert!(matches!(update, Decision::Deny { code: 400, .. }));
    }
}
