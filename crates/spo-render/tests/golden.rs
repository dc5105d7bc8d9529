//! Golden files: a case is a folder with a SPOD, and beside it the objects which it becomes.
//!
//! `golden/facts.yaml` is the cluster of all cases; `facts.yaml` of a case replaces members of it.
//! `withheld.txt` holds what the SPOD asks for and does not get, where there is something.
//! `UPDATE_GOLDEN=1 cargo test -p spo-render` writes what is rendered; read it before committing.
#![expect(clippy::print_stderr, reason = "a test says what differs")]
#![expect(clippy::unwrap_used, reason = "a test helper may panic like a test")]
#![expect(
    clippy::disallowed_methods,
    reason = "the purity contract is for the crate, not its tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use spo_api::seccomp_profile::SeccompProfile;
use spo_api::spod::SecurityProfilesOperatorDaemon;
use spo_render::{Facts, Rendered, default_spod, render, to_yaml};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(root()).unwrap();
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

/// The facts of all cases, with the members that this one replaces.
fn facts(case: &Path) -> Facts {
    let mut facts = read(&root().join("facts.yaml"));
    let own = case.join("facts.yaml");
    if own.exists() {
        let Value::Object(members) = read(&own) else {
            panic!("{own:?} is not an object");
        };
        for (name, value) in members {
            facts[name] = value;
        }
    }
    serde_json::from_value(facts).unwrap_or_else(|error| panic!("{own:?}: {error}"))
}

fn render_case(case: &Path) -> Rendered {
    let spod: SecurityProfilesOperatorDaemon =
        serde_json::from_value(read(&case.join("spod.yaml"))).unwrap();
    render(
        spod.metadata.name.as_deref().unwrap(),
        &spod.spec,
        &facts(case),
    )
}

/// Compares with the golden file and returns whether that is up to date. No text is no file.
fn is_golden(golden: &Path, rendered: &str) -> bool {
    if std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
        match rendered {
            "" if golden.exists() => fs::remove_file(golden).unwrap(),
            "" => {}
            text => fs::write(golden, text).unwrap(),
        }
    }
    let expected = fs::read_to_string(golden).unwrap_or_default();
    if expected != rendered {
        eprintln!("{}", golden.display());
        for (line, (old, new)) in (1..).zip(expected.lines().zip(rendered.lines())) {
            if old != new {
                eprintln!("first difference in line {line}\n- {old}\n+ {new}");
                break;
            }
        }
    }
    expected == rendered
}

#[test]
fn objects_are_rendered_byte_for_byte() {
    let mut stale = vec![];
    for case in cases() {
        let Rendered { objects, withheld } = render_case(&case);
        let withheld: String = withheld
            .iter()
            .map(|withheld| format!("{}: {}\n", withheld.field, withheld.reason))
            .collect();
        let files = [
            ("objects.yaml", to_yaml(&objects)),
            ("withheld.txt", withheld),
        ];
        for (file, text) in files {
            let golden = case.join(file);
            if !is_golden(&golden, &text) {
                stale.push(golden);
            }
        }
    }
    assert_eq!(
        stale,
        [] as [PathBuf; 0],
        "run with UPDATE_GOLDEN=1 and read the difference"
    );
}

#[test]
fn the_case_called_default_is_the_spod_that_the_operator_creates() {
    let case = read(&root().join("default/spod.yaml"));
    assert_eq!(default_spod("security-profiles-operator", false), case);
    let by_hand = read(&root().join("static-webhook/spod.yaml"));
    assert_eq!(default_spod("security-profiles-operator", true), by_hand);
}

#[test]
fn yaml_says_what_was_rendered() {
    for case in cases() {
        let objects = render_case(&case).objects;
        let parsed: Vec<Value> = serde_saphyr::from_multiple(&to_yaml(&objects)).unwrap();
        assert_eq!(parsed, objects, "{case:?}");
    }
}

/// The object as its type in the Kubernetes API says it again: without what the type lacks.
fn said_again(object: &Value) -> Value {
    fn by<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
        let typed: T = serde_json::from_value(object.clone())
            .unwrap_or_else(|error| panic!("{error}: {object}"));
        serde_json::to_value(typed).unwrap()
    }
    match object["kind"].as_str().unwrap() {
        "DaemonSet" => by::<DaemonSet>(object),
        "Deployment" => by::<Deployment>(object),
        "MutatingWebhookConfiguration" => by::<MutatingWebhookConfiguration>(object),
        "PodDisruptionBudget" => by::<PodDisruptionBudget>(object),
        "SeccompProfile" => by::<SeccompProfile>(object),
        "Service" => by::<Service>(object),
        "ValidatingWebhookConfiguration" => by::<ValidatingWebhookConfiguration>(object),
        // Of others, whose types we do not have.
        "Certificate" | "Issuer" | "ServiceMonitor" => object.clone(),
        other => panic!("{other} is new: say here what its type is"),
    }
}

/// Whether a value says what another does, and perhaps defaults besides.
fn says(value: &Value, other: &Value) -> bool {
    match (value, other) {
        (Value::Object(members), Value::Object(others)) => others
            .iter()
            .all(|(name, other)| members.get(name).is_some_and(|value| says(value, other))),
        (value, other) => value == other,
    }
}

#[test]
fn the_kubernetes_api_knows_every_field() {
    for case in cases() {
        for object in render_case(&case).objects {
            assert!(says(&said_again(&object), &object), "{case:?}: {object}");
        }
    }
}
