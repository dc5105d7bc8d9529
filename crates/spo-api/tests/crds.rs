//! The CustomResourceDefinitions: the committed files are what the types make, they keep every fact
//! of the contract, and their schemas have the shape which the Kubernetes API wants.
//!
//! `fixtures/crd-surface` is written by `hack/compare-crds` from the CRDs of upstream.

#![expect(
    clippy::disallowed_methods,
    reason = "the files of the repository are the subject"
)]
#![expect(
    clippy::unwrap_used,
    reason = "also in the helpers a failed unwrap is a failed test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};
use spo_api::{crd, node_status};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_committed_files_are_what_the_types_make() {
    let directory = Path::new(ROOT).join("../../deploy/crds");
    let mut committed = read_all(&directory);
    for crd::File { name, text } in crd::files() {
        let old = committed.remove(&name);
        assert!(
            old == Some(text),
            "deploy/crds/{name} is stale: run crdgen, see its first line"
        );
    }
    assert_eq!(
        committed.into_keys().collect::<Vec<_>>(),
        Vec::<String>::new(),
        "whose are these?"
    );
}

#[test]
fn the_files_say_what_the_values_say() {
    for (file, crd) in crd::files().iter().zip(crd::all()) {
        assert_eq!(
            serde_saphyr::from_str::<Value>(&file.text).unwrap(),
            crd,
            "{}",
            file.name
        );
        serde_json::from_value::<CustomResourceDefinition>(crd).unwrap();
    }
}

#[test]
fn every_fact_of_the_contract_holds() {
    let crds = by_plural();
    let surfaces = read_all(&Path::new(ROOT).join("tests/fixtures/crd-surface"));
    assert_eq!(surfaces.len(), crds.len());
    for (name, surface) in surfaces {
        let crd = &crds[name.trim_end_matches(".txt")];
        assert_eq!(
            breaks(&parse_facts(&surface), &facts(crd)),
            Vec::<String>::new(),
            "{name}"
        );
    }
}

/// The test above would be of no use if it did not see what breaks a manifest or a client.
#[test]
fn breaking_changes_are_seen() {
    let reference = &by_plural()["profilerecordings"];
    let check = |path: &str, change: fn(&mut Value), expected: &[&str]| {
        let mut changed = reference.clone();
        change(
            changed
                .pointer_mut(path)
                .unwrap_or_else(|| panic!("no {path}")),
        );
        assert_eq!(breaks(&facts(reference), &facts(&changed)), expected);
    };
    let v1 = |path: &str| format!("/spec/versions/0{path}");
    let spec = |path: &str| v1(&format!("/schema/openAPIV3Schema/properties/spec{path}"));

    check(
        "/spec/names/shortNames",
        |names| *names = json!(["x", "pr"]),
        &[],
    );
    check(
        "/spec/names/shortNames",
        |names| *names = json!(["x"]),
        &["* names"],
    );
    check(
        "/spec/scope",
        |scope| *scope = json!("Cluster"),
        &["* scope"],
    );
    check(
        &v1("/storage"),
        |storage| *storage = json!(false),
        &["v1 storage"],
    );
    check(
        &v1("/subresources"),
        |all| *all = json!({}),
        &["v1 subresources"],
    );
    check(
        &v1("/additionalPrinterColumns"),
        |c| push(c, json!({ "name": "X" })),
        &[],
    );
    check(
        &v1("/additionalPrinterColumns"),
        |columns| columns.as_array_mut().unwrap().reverse(),
        &["v1 additionalPrinterColumns"],
    );
    check(
        &spec("/properties/recorder"),
        |r| r["type"] = json!("integer"),
        &["v1 .spec.recorder"],
    );
    check(
        &spec("/properties/recorder/enum"),
        |values| push(values, json!("Both")),
        &[],
    );
    check(
        &spec("/properties/recorder/enum"),
        |values| *values = json!(["Bpf"]),
        &["v1 .spec.recorder"],
    );
    check(
        &spec("/properties/mergeStrategy"),
        |strategy| remove(strategy, "default"),
        &["v1 .spec.mergeStrategy"],
    );
    check(
        &spec("/properties/containers"),
        |containers| containers["x-kubernetes-list-type"] = json!("atomic"),
        &["v1 .spec.containers"],
    );
    check(
        &spec("/properties/containers/items"),
        |container| container["minLength"] = json!(1),
        &["v1 .spec.containers[]"],
    );
    check(
        &spec("/required"),
        |required| push(required, json!("containers")),
        &["v1 .spec"],
    );
    check(
        &spec("/required"),
        |required| *required = json!(["kind", "recorder"]),
        &["v1 .spec"],
    );
    check(
        &spec("/properties"),
        |properties| remove(properties, "disableProfileAfterRecording"),
        &["v1 .spec.disableProfileAfterRecording"],
    );
    check(
        &spec("/properties"),
        |all| all["new"] = json!({ "type": "string" }),
        &[],
    );
    check(
        &spec("/properties/podSelector/properties/matchLabels/additionalProperties"),
        |label| label["pattern"] = json!("x"),
        &["v1 .spec.podSelector.matchLabels.<key>"],
    );
}

#[test]
fn schemas_have_the_shape_of_the_kubernetes_api() {
    for (plural, crd) in by_plural() {
        for version in crd["spec"]["versions"].as_array().unwrap() {
            let mut root = version["schema"]["openAPIV3Schema"].clone();
            let name = format!("{plural} {}", version["name"]);
            assert!(!contains(&root["required"], &json!("metadata")), "{name}");
            // The API server documents these three, and refuses a description of metadata.
            for (key, kind) in TYPE_META {
                assert_eq!(root["properties"][key], json!({ "type": kind }), "{name}");
                remove(&mut root["properties"], key);
            }
            assert!(root["description"].is_string(), "{name} has no description");
            visit(&root, "", &mut |path, schema| {
                assert_eq!(faults(schema), Vec::<String>::new(), "{name} {path}");
            });
        }
    }
}

const TYPE_META: [(&str, &str); 3] = [
    ("apiVersion", "string"),
    ("kind", "string"),
    ("metadata", "object"),
];

/// What a schema says that no schema of the contract does.
fn faults(schema: &Value) -> Vec<String> {
    let schema = schema.as_object().unwrap();
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(text);
    let quantity = schema.contains_key("x-kubernetes-int-or-string");
    for key in [
        "nullable", "title", "oneOf", "allOf", "not", "$ref", "const",
    ] {
        if schema.contains_key(key) {
            fault(format!("{key} is there"));
        }
    }
    if schema.contains_key("anyOf") != quantity {
        fault("anyOf is for quantities".to_owned());
    }
    if !quantity && !schema.get("type").is_some_and(Value::is_string) {
        fault("has no type".to_owned());
    }
    let text = |values: &Value| values.as_array().unwrap().iter().all(Value::is_string);
    if schema
        .get("enum")
        .is_some_and(|values| schema["type"] != "string" || !text(values))
    {
        fault("an enumeration is one of text".to_owned());
    }
    let format = schema.get("format").map(|format| format.as_str().unwrap());
    if !matches!(format, None | Some("int32" | "int64" | "date-time")) {
        fault(format!("format {format:?}"));
    }
    if schema.get("default").is_some_and(Value::is_null) {
        fault("the default is null".to_owned());
    }
    if schema
        .get("additionalProperties")
        .is_some_and(Value::is_boolean)
    {
        fault("additionalProperties is not a schema".to_owned());
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if property["description"].as_str().is_none_or(str::is_empty) {
            fault(format!("{name} has no description"));
        }
    }
    faults
}

#[test]
fn v1_is_stored_and_every_version_is_served() {
    for (plural, crd) in by_plural() {
        assert_eq!(
            crd["metadata"]["labels"],
            json!({ "app": "security-profiles-operator" })
        );
        for (index, version) in crd["spec"]["versions"]
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
        {
            let report = version["name"] == node_status::REPORT_VERSION;
            assert_eq!(version["served"], json!(true), "{plural}");
            assert_eq!(version["storage"], json!(index == 0), "{plural}");
            assert_eq!(version["name"] == "v1", index == 0, "{plural}");
            assert_eq!(version.get("subresources").is_none(), report, "{plural}");
        }
    }
}

#[test]
fn all_but_node_statuses_are_converted_by_the_webhook() {
    let mut converted = crd::converted_kinds();
    for (plural, crd) in by_plural() {
        let name = format!("{plural}.{}", spo_api::GROUP);
        assert_eq!(crd["metadata"]["name"], json!(name));
        if plural == "securityprofilenodestatuses" {
            assert_eq!(crd["spec"].get("conversion"), None);
            continue;
        }
        assert_eq!(
            crd["spec"]["conversion"],
            json!({"strategy": "Webhook", "webhook": {
                "clientConfig": {"service": {
                    "name": "conversion-service",
                    "namespace": "security-profiles-operator",
                    "path": "/convert",
                    "port": 443,
                }},
                "conversionReviewVersions": ["v1"],
            }})
        );
        converted.retain(|other| *other != name);
    }
    assert_eq!(converted, Vec::<String>::new());
}

/// `compare_crds.py --allow` takes the file, too.
#[test]
fn every_rule_is_an_accepted_difference() {
    let mut rules = BTreeSet::new();
    for (plural, crd) in by_plural() {
        for version in crd["spec"]["versions"].as_array().unwrap() {
            let name = version["name"].as_str().unwrap();
            visit(
                &version["schema"]["openAPIV3Schema"],
                "",
                &mut |path, schema| {
                    // A field that the reference has not is no difference to accept.
                    if path.starts_with(".spec.webhookOptions") {
                        return;
                    }
                    let found = schema["x-kubernetes-validations"].as_array();
                    for rule in found.into_iter().flatten() {
                        assert!(rule["message"].is_string(), "{rule}");
                        let rule = rule["rule"].as_str().unwrap();
                        rules.insert(format!("{plural}/{name} {path}: CEL rule added: {rule}"));
                    }
                },
            );
        }
    }
    let accepted = fs::read_to_string(Path::new(ROOT).join("tests/fixtures/crd-accepted.txt"));
    let accepted = accepted.unwrap();
    let lines = accepted.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.map(str::to_owned).collect::<BTreeSet<_>>(), rules);
}

#[test]
fn nodes_report_through_a_version_with_the_schema_of_v1() {
    let resource = node_status::report_resource();
    let crd = &by_plural()[&resource.plural];
    let version = |name: &str| {
        let mut versions = crd["spec"]["versions"].as_array().unwrap().iter();
        versions.find(|version| version["name"] == name).unwrap()
    };
    assert_eq!(
        version(&resource.version)["schema"],
        version("v1")["schema"]
    );
    assert_eq!(
        resource.api_version,
        format!(
            "{}/{}",
            spo_api::GROUP,
            version(&resource.version)["name"].as_str().unwrap()
        )
    );
}

#[test]
fn old_versions_spell_values_in_their_way() {
    let crds = by_plural();
    let field = |plural: &str, version: usize, path: &str| {
        let root = crds[plural]["spec"]["versions"][version]["schema"]["openAPIV3Schema"].clone();
        root.pointer(&format!(
            "/properties/{}",
            path.replace('.', "/properties/")
        ))
        .cloned()
        .unwrap()
    };
    let strategy = field("profilerecordings", 1, "spec.mergeStrategy");
    assert_eq!(strategy["enum"], json!(["none", "containers"]));
    assert_eq!(strategy["default"], json!("none"));
    assert!(
        strategy["description"]
            .as_str()
            .unwrap()
            .contains("`containers`")
    );
    let strategy = field("profilerecordings", 0, "spec.mergeStrategy");
    assert_eq!(strategy["default"], json!("None"));
    let state = field("securityprofilesoperatordaemons", 1, "status.state");
    assert_eq!(
        state["enum"],
        json!(["PENDING", "CREATING", "UPDATING", "RUNNING", "ERROR"])
    );
    // What only v1 has in upstream: an edit through an old version must not lose it.
    field("profilebindings", 1, "spec.podSelector");
    field(
        "securityprofilesoperatordaemons",
        1,
        "spec.security.allowedIdentityRegexp",
    );
    field(
        "securityprofilesoperatordaemons",
        1,
        "spec.selinux.options.deniedTypes",
    );
}

// Facts: version, path, what holds there. `hack/compare-crds` makes the same ones.

type Facts = BTreeMap<(String, String), Value>;

fn parse_facts(text: &str) -> Facts {
    let parse = |line: &str| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_else(|| panic!("not a fact: {line}"));
        let (version, path, fact) = (word(), word(), word());
        ((version, path), serde_json::from_str(&fact).unwrap())
    };
    text.lines().map(parse).collect()
}

fn facts(crd: &Value) -> Facts {
    let spec = &crd["spec"];
    let mut facts = Facts::new();
    let mut fact = |version: &str, path: &str, value: Value| {
        facts.insert((version.to_owned(), path.to_owned()), value);
    };
    for key in ["names", "group", "scope"] {
        fact("*", key, spec[key].clone());
    }
    for version in spec["versions"].as_array().unwrap() {
        let name = version["name"].as_str().unwrap();
        for key in [
            "served",
            "storage",
            "subresources",
            "additionalPrinterColumns",
        ] {
            if let Some(value) = version.get(key) {
                fact(name, key, value.clone());
            }
        }
        visit(
            &version["schema"]["openAPIV3Schema"],
            "",
            &mut |path, schema| {
                if ![".apiVersion", ".kind", ".metadata"].contains(&path) {
                    fact(
                        name,
                        if path.is_empty() { "." } else { path },
                        schema_fact(schema),
                    );
                }
            },
        );
    }
    facts
}

fn schema_fact(schema: &Value) -> Value {
    let mut fact = schema.as_object().unwrap().clone();
    // Rules are accepted one by one.
    for key in [
        "description",
        "properties",
        "items",
        "x-kubernetes-validations",
    ] {
        fact.remove(key);
    }
    if fact
        .get("additionalProperties")
        .is_some_and(Value::is_object)
    {
        fact.remove("additionalProperties");
    }
    Value::Object(fact)
}

/// Calls `each` for a schema and all schemas within it.
fn visit(schema: &Value, path: &str, each: &mut impl FnMut(&str, &Value)) {
    each(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        visit(property, &format!("{path}.{name}"), each);
    }
    for (key, step) in [("items", "[]"), ("additionalProperties", ".<key>")] {
        if schema[key].is_object() {
            visit(&schema[key], &format!("{path}{step}"), each);
        }
    }
}

/// Where a fact of the reference does not hold in the candidate. What the candidate has beyond the
/// reference is not a break, unless it constrains something that is there.
fn breaks(reference: &Facts, candidate: &Facts) -> Vec<String> {
    let broken = reference.iter().filter(|(place, fact)| {
        !candidate
            .get(place)
            .is_some_and(|ours| holds(&place.1, fact, ours))
    });
    broken
        .map(|((version, path), _)| format!("{version} {path}"))
        .collect()
}

fn holds(path: &str, fact: &Value, ours: &Value) -> bool {
    match path {
        "names" => {
            let keys = fact.as_object().unwrap().keys();
            keys.into_iter().all(|key| match &fact[key] {
                Value::Array(all) => all.iter().all(|name| contains(&ours[key], name)),
                name => ours[key] == *name,
            })
        }
        // Columns of ours follow those of the reference.
        "additionalPrinterColumns" => ours
            .as_array()
            .unwrap()
            .starts_with(fact.as_array().unwrap()),
        _ if path.starts_with('.') => schema_holds(fact.as_object().unwrap(), ours),
        _ => fact == ours,
    }
}

fn schema_holds(fact: &Map<String, Value>, ours: &Value) -> bool {
    let ours = ours.as_object().unwrap();
    let mut keys = fact.keys().chain(ours.keys());
    keys.all(|key| match (key.as_str(), fact.get(key), ours.get(key)) {
        ("enum", Some(Value::Array(old)), Some(new)) => old.iter().all(|v| contains(new, v)),
        ("required", Some(Value::Array(old)), Some(Value::Array(new))) => {
            old.len() == new.len() && old.iter().all(|name| new.contains(name))
        }
        (_, old, new) => old == new,
    })
}

fn contains(list: &Value, item: &Value) -> bool {
    list.as_array().is_some_and(|list| list.contains(item))
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

fn remove(object: &mut Value, key: &str) {
    object.as_object_mut().unwrap().remove(key).unwrap();
}

fn by_plural() -> BTreeMap<String, Value> {
    let plural = |crd: &Value| crd["spec"]["names"]["plural"].as_str().unwrap().to_owned();
    crd::all()
        .into_iter()
        .map(|crd| (plural(&crd), crd))
        .collect()
}

/// The files of a directory by name.
fn read_all(directory: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files
        .map(|path| (name(&path), fs::read_to_string(&path).unwrap()))
        .collect()
}
