//! Pure. A ProfileBinding as it is held in memory: which pods and which containers it is about.
//!
//! The webhook binds by it and the manager counts by it, so that they can not disagree.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use spo_api::profile::ProfileKind;
use spo_api::profile_binding::{ANY_IMAGE, ProfileBindingSpec};

/// What a ProfileBinding says.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The kind of the profile.
    pub kind: ProfileKind,
    /// The name of the profile.
    pub profile: String,
    /// The image of the containers, or [`ANY_IMAGE`].
    pub image: String,
    /// Which pods; or what is wrong with the selector.
    selector: Result<Selector, String>,
}

impl Rule {
    /// Of a binding.
    pub fn new(spec: ProfileBindingSpec) -> Self {
        Self {
            kind: spec.profile_ref.kind,
            profile: spec.profile_ref.name,
            image: spec.image,
            selector: selector(spec.pod_selector.unwrap_or_default()),
        }
    }

    /// Whether it is about every container.
    pub fn is_for_any_image(&self) -> bool {
        self.image == ANY_IMAGE
    }

    /// Whether it is about pods with these labels.
    ///
    /// # Errors
    /// Its selector is not a valid one, so that nobody can say which pods are meant.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> Result<bool, &str> {
        let selector = self.selector.as_ref().map_err(String::as_str)?;
        Ok(selector.matches(labels))
    }
}

/// A selector in the sense of the API: what the API server refuses elsewhere is refused here. The
/// schema of a ProfileBinding lets all of it through.
fn selector(selector: LabelSelector) -> Result<Selector, String> {
    for requirement in selector.match_expressions.iter().flatten() {
        let values = requirement.values.as_deref().unwrap_or_default();
        let (key, operator) = (&requirement.key, &requirement.operator);
        match operator.as_str() {
            _ if key.is_empty() => return Err("a key in matchExpressions is empty".to_owned()),
            "In" | "NotIn" if values.is_empty() => {
                return Err(format!("{operator} for the key {key:?} has no values"));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                return Err(format!("{operator} for the key {key:?} has values"));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => return Err(format!("there is no operator {operator:?}")),
        }
    }
    Selector::try_from(selector).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(pod_selector: Value) -> Rule {
        let spec = json!({
            "image": "nginx",
            "profileRef": {"kind": "SeccompProfile", "name": "p"},
            "podSelector": pod_selector,
        });
        Rule::new(serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn pods_are_selected_by_labels() {
        let check = |selector: Value, expected: bool| {
            let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
            assert_eq!(
                rule(selector.clone()).selects(&labels),
                Ok(expected),
                "{selector}"
            );
        };
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        check(Value::Null, true);
        check(json!({}), true);
        check(json!({"matchLabels": {"app": "web"}}), true);
        check(json!({"matchLabels": {"app": "db"}}), false);
        check(json!({"matchLabels": {"app": "web", "x": "y"}}), false);
        check(expression("app", "In", &["db", "web"]), true);
        check(expression("app", "In", &["db"]), false);
        check(expression("app", "NotIn", &["db"]), true);
        check(expression("x", "NotIn", &["db"]), true);
        check(expression("app", "Exists", &[]), true);
        check(expression("x", "Exists", &[]), false);
        check(expression("x", "DoesNotExist", &[]), true);
        let mut both = expression("app", "Exists", &[]);
        both["matchLabels"] = json!({"app": "db"});
        check(both, false);
    }

    #[test]
    fn an_invalid_selector_selects_nothing_and_says_why() {
        let check = |key: &str, operator: &str, values: &[&str], expected: &str| {
            let rule = rule(json!({
                "matchExpressions": [{"key": key, "operator": operator, "values": values}],
            }));
            assert_eq!(rule.selects(&BTreeMap::new()), Err(expected));
        };
        check("a", "Like", &["b"], "there is no operator \"Like\"");
        check("a", "In", &[], "In for the key \"a\" has no values");
        check("a", "Exists", &["b"], "Exists for the key \"a\" has values");
        check("", "Exists", &[], "a key in matchExpressions is empty");
    }
}
