//! The flat names of the SPOD in v1: which of two values is in force, and that schema, type and
//! table name the same fields.

#![expect(
    clippy::disallowed_methods,
    reason = "the files of the repository are the subject"
)]
#![expect(
    clippy::unwrap_used,
    reason = "also in the helpers a failed unwrap is a failed test"
)]

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use spo_api::{
    crd,
    spod::{
        LogEnricherSource, SecurityProfilesOperatorDaemonSpec,
        effective::{Moved, effective},
        flat::{Flat, MOVES},
    },
};

fn read(spec: Value) -> SecurityProfilesOperatorDaemonSpec {
    serde_json::from_value(spec).unwrap()
}

/// The patches which guides of old tell people to make, on a configuration as it is shipped, with
/// the defaults that the API server fills in.
#[test]
fn patches_of_old_guides_work() {
    let shipped = json!({
        "selinux": {"enable": false, "typeTag": "spc_t",
            "options": {"allowedSystemProfiles": ["container"]}},
        "enricher": {"enableLogEnricher": false, "enableJsonEnricher": false,
            "enableBpfRecorder": false},
        "security": {"allowedIdentityRegexp": "^a$", "allowedOidcIssuerRegexp": "^b$",
            "disableOciArtifactSignatureVerification": false},
        "scheduling": {"priorityClassName": "system-node-critical"},
        "webhook": {"staticConfig": false},
        "enableAppArmor": false,
    });
    for (name, value, place) in [
        ("enableSelinux", json!(true), "/selinux/enable"),
        ("selinuxTypeTag", json!("unconfined_t"), "/selinux/typeTag"),
        ("staticWebhookConfig", json!(true), "/webhook/staticConfig"),
        (
            "webhookOptions",
            json!([{"name": "binding.spo.io", "failurePolicy": "Ignore"}]),
            "/webhook/options",
        ),
        (
            "tolerations",
            json!([{"operator": "Exists"}]),
            "/scheduling/tolerations",
        ),
        (
            "affinity",
            json!({"podAffinity": {}}),
            "/scheduling/affinity",
        ),
        (
            "priorityClassName",
            json!("mine"),
            "/scheduling/priorityClassName",
        ),
        (
            "disableOciArtifactSignatureVerification",
            json!(true),
            "/security/disableOciArtifactSignatureVerification",
        ),
        (
            "enableLogEnricher",
            json!(true),
            "/enricher/enableLogEnricher",
        ),
        (
            "logEnricherFilters",
            json!("[]"),
            "/enricher/logEnricherFilters",
        ),
        (
            "logEnricherSource",
            json!("Bpf"),
            "/enricher/logEnricherSource",
        ),
        (
            "enableJsonEnricher",
            json!(true),
            "/enricher/enableJsonEnricher",
        ),
        (
            "jsonEnricherFilters",
            json!("[]"),
            "/enricher/jsonEnricherFilters",
        ),
        (
            "jsonEnricherOptions",
            json!({"auditLogIntervalSeconds": 5}),
            "/enricher/jsonEnricherOptions",
        ),
        (
            "enableBpfRecorder",
            json!(true),
            "/enricher/enableBpfRecorder",
        ),
        (
            "allowedSyscalls",
            json!(["read"]),
            "/security/allowedSyscalls",
        ),
        (
            "allowedSeccompActions",
            json!(["SCMP_ACT_LOG"]),
            "/security/allowedSeccompActions",
        ),
    ] {
        let mut spec = shipped.clone();
        spec[name] = value.clone();
        let found = effective(&read(spec));
        let written = serde_json::to_value(&found.spec).unwrap();
        assert_eq!(written.pointer(place), Some(&value), "{name}");
        assert_eq!(written.get(name), None);
        assert_eq!(found.moved.len(), 1, "{name}");
        assert!(found.moved[0].applied, "{name}");
        assert_eq!(found.spec.security.unwrap().allowed_identity_regexp, "^a$");
    }
    let mut spec = shipped;
    spec["selinuxOptions"] = json!({"allowedSystemProfiles": ["container", "net_container"]});
    let options = effective(&read(spec)).spec.selinux.unwrap().options;
    assert_eq!(
        options.allowed_system_profiles,
        ["container", "net_container"]
    );
}

#[test]
fn a_value_in_a_group_wins() {
    let found = effective(&read(json!({
        "enableLogEnricher": false,
        "logEnricherSource": "bpf",
        "allowedSyscalls": ["read", "bpf"],
        "selinuxOptions": {"allowedSystemProfiles": ["container"]},
        "priorityClassName": "a",
        "enricher": {"enableLogEnricher": true, "logEnricherSource": "Netlink"},
        "security": {"allowedSyscalls": ["read"]},
        "selinux": {"options": {"allowedSystemProfiles": []}},
        "scheduling": {"priorityClassName": ""},
    })));
    assert_eq!(found.moved.len(), 5);
    assert!(found.moved.iter().all(|moved| !moved.applied));
    assert!(found.moved.contains(&Moved {
        flat: "enableLogEnricher",
        grouped: "enricher.enableLogEnricher",
        applied: false,
    }));
    let enricher = found.spec.enricher.unwrap();
    assert!(enricher.enable_log_enricher);
    assert_eq!(
        enricher.log_enricher_source,
        Some(LogEnricherSource::Netlink)
    );
    assert_eq!(found.spec.security.unwrap().allowed_syscalls, ["read"]);
    let options = found.spec.selinux.unwrap().options;
    assert_eq!(options.allowed_system_profiles, Vec::<String>::new());
    assert_eq!(found.spec.scheduling.unwrap().priority_class_name, "");
    assert_eq!(found.spec.flat, Flat::default());
}

#[test]
fn case_does_not_matter_for_the_flat_source() {
    for (text, source) in [
        ("auditd", LogEnricherSource::Auditd),
        ("BPF", LogEnricherSource::Bpf),
        ("Netlink", LogEnricherSource::Netlink),
        ("aUTO", LogEnricherSource::Auto),
    ] {
        let found = effective(&read(json!({"logEnricherSource": text})));
        assert_eq!(
            found.spec.enricher.unwrap().log_enricher_source,
            Some(source)
        );
    }
    let unknown = json!({"logEnricherSource": "tea"});
    let error = serde_json::from_value::<SecurityProfilesOperatorDaemonSpec>(unknown).unwrap_err();
    assert!(error.to_string().contains("\"tea\""), "{error}");
    assert_eq!(
        read(json!({"logEnricherSource": null})).flat,
        Flat::default()
    );
}

/// The schema has each field of the table, says where it has gone, and has no other.
#[test]
fn schema_and_table_name_the_same_fields() {
    let crds = crd::all();
    let mut crds = crds.iter();
    let spod = crds.find(|crd| crd["spec"]["names"]["shortNames"][0] == "spod");
    for version in spod.unwrap()["spec"]["versions"].as_array().unwrap() {
        let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let at = |path: &str| {
            let schema = path
                .split('.')
                .fold(spec, |schema, name| &schema["properties"][name]);
            assert!(schema.is_object(), "{path}");
            schema
        };
        let mut declared = BTreeSet::new();
        for field in &MOVES {
            let (flat, grouped) = (at(field.flat), at(field.grouped));
            let description = flat["description"].as_str().unwrap();
            let place = format!("Deprecated: use spec.{}.", field.grouped);
            assert!(description.starts_with(&place), "{description}");
            if !["logEnricherSource", "allowedSeccompActions"].contains(&field.flat) {
                assert_eq!(constraints(flat), constraints(grouped), "{}", field.flat);
            }
            declared.insert(field.flat.split('.').next().unwrap());
            // What the API server fills in does not count as a value.
            if let Some(default) = grouped.get("default") {
                let mut both = json!({});
                put(&mut both, field.grouped, default.clone());
                let value = match default {
                    Value::Bool(_) => json!(true),
                    Value::String(_) => json!("x"),
                    _ => json!(["x"]),
                };
                put(&mut both, field.flat, value);
                assert!(effective(&read(both)).moved[0].applied, "{}", field.flat);
            }
        }
        let properties = spec["properties"].as_object().unwrap().iter();
        let deprecated = properties.filter(|(_, property)| {
            let description = property["description"].as_str().unwrap();
            description.starts_with("Deprecated:")
        });
        let deprecated: BTreeSet<&str> = deprecated.map(|(name, _)| name.as_str()).collect();
        assert_eq!(declared, deprecated);
    }
}

/// Who uses an old name is told the new one, and nobody is refused.
#[test]
fn every_flat_field_has_its_warning() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/base/policy-deprecated.yaml");
    let text = fs::read_to_string(file).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let [policy, binding] = &documents[..] else {
        panic!("a policy and its binding, not {}", documents.len());
    };
    assert_eq!(policy["spec"]["failurePolicy"], "Ignore");
    assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
    assert_eq!(binding["spec"]["validationActions"], json!(["Warn"]));
    let expected = MOVES.iter().map(|field| {
        let (flat, grouped) = (field.flat, field.grouped);
        let absent = |path: &str| format!("!has(object.spec.{path})");
        let expression = match flat.split_once('.') {
            Some((outer, _)) => format!("{} || {}", absent(outer), absent(flat)),
            None => absent(flat),
        };
        let message = format!("spec.{flat} is deprecated, use spec.{grouped}");
        json!({"expression": expression, "message": message})
    });
    let expected: Vec<Value> = expected.collect();
    assert_eq!(policy["spec"]["validations"], json!(expected));
}

/// A schema without texts, and without the default, which only the field in the group has.
fn constraints(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => members
            .iter()
            .filter(|(key, value)| {
                *key != "default" && !(*key == "description" && value.is_string())
            })
            .map(|(key, value)| (key.clone(), constraints(value)))
            .collect(),
        Value::Array(items) => items.iter().map(constraints).collect(),
        scalar => scalar.clone(),
    }
}

fn put(object: &mut Value, path: &str, value: Value) {
    *path
        .split('.')
        .fold(object, |object, name| &mut object[name]) = value;
}
