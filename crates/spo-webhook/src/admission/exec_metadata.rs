//! Pure. Marks what somebody starts in a pod with the request that started it, so that the JSON
//! enricher can tell who it was (contract 04, 5).
//!
//! Nothing here ever refuses: to open a shell is more important than to know who did.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::decision::{Decision, Operation, pointer};
use super::review::Request;

/// The variable, and the key of the audit annotation.
const KEY: &str = "SPO_EXEC_REQUEST_UID";

/// Decides on a session in a pod.
pub fn decide(request: &Request) -> Decision {
    let object = &request.object;
    let kind = request.kind.kind.as_str();
    let operations = match (kind, request.sub_resource.as_str()) {
        ("PodExecOptions", _) => exec(object, &request.uid).into_iter().collect(),
        ("Pod", "ephemeralcontainers") => ephemeral_containers(request),
        ("Pod", "") if request.resource.resource == "pods" => containers(object, &request.uid),
        _ => Vec::new(),
    };
    if operations.is_empty() {
        return Decision::allow("pod exec request unmodified");
    }
    Decision::Patch {
        operations,
        message: "UID added to execmetadata".to_owned(),
        audit_annotations: BTreeMap::from([(KEY.to_owned(), request.uid.clone())]),
        warnings: Vec::new(),
    }
}

/// `kubectl exec`: the command runs below env(1). A variable that stands elsewhere in the command
/// is the user's business, and says nothing about the request.
fn exec(options: &Value, uid: &str) -> Option<Operation> {
    let command = options.get("command")?.as_array()?;
    let words: Vec<&str> = command.iter().map(Value::as_str).collect::<Option<_>>()?;
    let (first, rest) = words.split_first()?;
    let ours = format!("{KEY}={uid}");
    let mark = format!("{KEY}=");
    let marked = *first == "env" && rest.first().is_some_and(|word| word.starts_with(&mark));
    let value: Vec<&str> = if marked {
        // Of several, env(1) takes the last one.
        let assignments = rest.iter().take_while(|word| word.contains('='));
        let assignments = assignments.count();
        let (assignments, program) = rest.split_at_checked(assignments)?;
        let assignments = assignments.iter().map(|word| {
            if word.starts_with(&mark) {
                ours.as_str()
            } else {
                word
            }
        });
        std::iter::once("env")
            .chain(assignments)
            .chain(program.iter().copied())
            .collect()
    } else {
        ["env", &ours].into_iter().chain(words).collect()
    };
    Some(Operation::Add {
        path: pointer(&["command"]),
        value: json!(value),
    })
}

/// A pod that `kubectl debug node/…` makes: every container of it may be the one that is entered.
fn containers(pod: &Value, uid: &str) -> Vec<Operation> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let containers = containers.into_iter().flatten().enumerate();
    containers
        .filter_map(|(index, container)| env("containers", index, container, uid))
        .collect()
}

/// `kubectl debug`: the containers that are new in a pod. The others can not be changed any more.
fn ephemeral_containers(request: &Request) -> Vec<Operation> {
    let list = |object, pointer| names(object, pointer);
    let mut known = list(&request.object, "/status/ephemeralContainerStatuses");
    known.extend(list(&request.old_object, "/spec/ephemeralContainers"));
    let containers = request.object.pointer("/spec/ephemeralContainers");
    let containers = containers.and_then(Value::as_array).into_iter().flatten();
    containers
        .enumerate()
        .filter(|(_, container)| !name(container).is_some_and(|name| known.contains(&name)))
        .filter_map(|(index, container)| env("ephemeralContainers", index, container, &request.uid))
        .collect()
}

fn names<'a>(object: &'a Value, pointer: &str) -> Vec<&'a str> {
    let list = object.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(name).collect()
}

fn name(container: &Value) -> Option<&str> {
    container.get("name")?.as_str()
}

/// Sets the variable of a container. `None` if the container is not one.
fn env(list: &str, index: usize, container: &Value, uid: &str) -> Option<Operation> {
    let container = container.as_object()?;
    let variables = match container.get("env") {
        Some(Value::Array(variables)) => variables.as_slice(),
        Some(Value::Null) | None => &[],
        Some(_) => return None,
    };
    let mut variables: Vec<Value> = variables
        .iter()
        .filter(|variable| name(variable) != Some(KEY))
        .cloned()
        .collect();
    variables.push(json!({"name": KEY, "value": uid}));
    Some(Operation::Add {
        path: pointer(&["spec", list, &index.to_string(), "env"]),
        value: Value::Array(variables),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: &str, sub_resource: &str, object: Value, old_object: Value) -> Decision {
        let request = json!({
            "uid": "u1",
            "kind": {"kind": kind},
            "resource": {"version": "v1", "resource": "pods"},
            "subResource": sub_resource,
            "operation": "CREATE",
            "object": object,
            "oldObject": old_object,
        });
        decide(&serde_json::from_value(request).unwrap())
    }

    /// The patch, or null if there is none.
    fn patch(decision: Decision) -> Value {
        match decision {
            Decision::Allow { message, .. } => {
                assert_eq!(message, "pod exec request unmodified");
                Value::Null
            }
            Decision::Patch {
                operations,
                message,
                audit_annotations,
                ..
            } => {
                assert_eq!(message, "UID added to execmetadata");
                assert_eq!(audit_annotations[KEY], "u1");
                json!(operations)
            }
            Decision::Deny { .. } => panic!("{decision:?}"),
        }
    }

    fn check_exec(command: Value, expected: Value) {
        let options = json!({"command": command, "stdin": true});
        let patch = patch(ask("PodExecOptions", "exec", options, Value::Null));
        if expected.is_null() {
            assert!(patch.is_null(), "{patch}");
        } else {
            let expected = json!([{"op": "add", "path": "/command", "value": expected}]);
            assert_eq!(patch, expected);
        }
    }

    const OURS: &str = "SPO_EXEC_REQUEST_UID=u1";
    const OTHER: &str = "SPO_EXEC_REQUEST_UID=x";

    #[test]
    fn a_command_runs_below_env() {
        check_exec(json!(["sh"]), json!(["env", OURS, "sh"]));
        check_exec(json!(["env", OTHER, "sh"]), json!(["env", OURS, "sh"]));
        check_exec(
            json!(["env", OTHER, "A=b", OTHER, "sh", OTHER]),
            json!(["env", OURS, "A=b", OURS, "sh", OTHER]),
        );
    }

    #[test]
    fn a_variable_elsewhere_is_not_ours() {
        for command in [
            json!(["sh", "-c", "true", OTHER]),
            json!([OTHER]),
            json!(["env", "-i", OTHER, "sh"]),
            json!(["env", "A=b", OTHER, "sh"]),
            json!(["/bin/env", OTHER, "sh"]),
        ] {
            let mut expected = vec![json!("env"), json!(OURS)];
            expected.extend(command.as_array().unwrap().iter().cloned());
            check_exec(command, json!(expected));
        }
    }

    #[test]
    fn what_is_no_command_is_left_alone() {
        for none in [json!([]), Value::Null, json!("sh"), json!(["sh", 1])] {
            check_exec(none, Value::Null);
        }
    }

    #[test]
    fn every_container_of_a_debugging_pod_is_marked() {
        let mark = json!({"name": KEY, "value": "u1"});
        let (mine, old) = (json!({"name": "A"}), json!({"name": KEY, "value": "x"}));
        let pod = json!({"spec": {"unknown": 1, "containers": [
            {"name": "a", "unknown": 2},
            {"name": "b", "env": [old, mine, old]},
            {"name": "c", "env": null},
        ]}});
        let expected = json!([
            {"op": "add", "path": "/spec/containers/0/env", "value": [mark]},
            {"op": "add", "path": "/spec/containers/1/env", "value": [mine, mark]},
            {"op": "add", "path": "/spec/containers/2/env", "value": [mark]},
        ]);
        assert_eq!(patch(ask("Pod", "", pod, Value::Null)), expected);
    }

    #[test]
    fn only_new_ephemeral_containers_are_marked() {
        let pod = json!({
            "spec": {
                "containers": [{"name": "main"}],
                "ephemeralContainers": [{"name": "runs"}, {"name": "waits"}, {"name": "new"}],
            },
            "status": {"ephemeralContainerStatuses": [{"name": "runs"}]},
        });
        let old = json!({"spec": {"ephemeralContainers": [{"name": "runs"}, {"name": "waits"}]}});
        let value = json!([{"name": KEY, "value": "u1"}]);
        let expected =
            json!([{"op": "add", "path": "/spec/ephemeralContainers/2/env", "value": value}]);
        let asked = ask("Pod", "ephemeralcontainers", pod.clone(), old);
        assert_eq!(patch(asked), expected);
        let asked = ask("Pod", "ephemeralcontainers", pod.clone(), pod);
        assert_eq!(patch(asked), Value::Null);
    }

    #[test]
    fn anything_else_is_left_alone() {
        let pod = json!({"spec": {"containers": [{"name": "a"}]}});
        for (kind, sub_resource, object) in [
            ("Pod", "status", pod.clone()),
            ("PodAttachOptions", "attach", pod),
            ("Pod", "", Value::Null),
            ("Pod", "", json!({"spec": {"containers": [1, {"env": 1}]}})),
            ("Pod", "ephemeralcontainers", json!({"spec": []})),
            ("PodExecOptions", "exec", json!([])),
        ] {
            assert_eq!(
                patch(ask(kind, sub_resource, object, Value::Null)),
                Value::Null
            );
        }
    }
}
