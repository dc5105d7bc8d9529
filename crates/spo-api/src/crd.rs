//! Every CustomResourceDefinition with all its served versions, and the files which hold them.
//!
//! The schema of v1 is derived from the types and then given the shape of the Kubernetes API,
//! [`shape`]. Older versions are the schema of v1 with small edits: what they lack in upstream they
//! have here as optional fields, so that an edit through them loses nothing (decision 20).

mod older;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::{
    apparmor_profile::AppArmorProfile,
    meta::{APP, LABEL_APP},
    node_status::{self, SecurityProfileNodeStatus},
    profile_binding::ProfileBinding,
    profile_recording::ProfileRecording,
    raw_selinux_profile::RawSelinuxProfile,
    seccomp_profile::SeccompProfile,
    selinux_profile::SelinuxProfile,
    spod::SecurityProfilesOperatorDaemon,
};

/// Lists every kind with `kubectl get spo`.
pub const CATEGORY: &str = "spo";

/// The Service behind which objects are converted (`convert.rs`), in [`CONVERSION_NAMESPACE`].
pub const CONVERSION_SERVICE: &str = "conversion-service";
/// The namespace of [`CONVERSION_SERVICE`], as it is shipped.
pub const CONVERSION_NAMESPACE: &str = "security-profiles-operator";
/// The path which the API server calls at [`CONVERSION_SERVICE`].
pub const CONVERSION_PATH: &str = "/convert";
/// The port of [`CONVERSION_SERVICE`].
pub const CONVERSION_PORT: u16 = 443;

/// The CustomResourceDefinitions, ordered by name.
pub fn all() -> Vec<Value> {
    vec![
        converted(definition(
            &AppArmorProfile::crd(),
            &[("v1alpha1", older::apparmor)],
        )),
        converted(definition(
            &ProfileBinding::crd(),
            &[("v1alpha1", older::same)],
        )),
        converted(definition(
            &ProfileRecording::crd(),
            &[("v1alpha1", older::recording)],
        )),
        converted(definition(
            &RawSelinuxProfile::crd(),
            &[("v1alpha2", older::profile)],
        )),
        converted(definition(
            &SeccompProfile::crd(),
            &[("v1beta1", older::profile)],
        )),
        // Not converted: its versions have one schema, and every report of a node would otherwise
        // wait for the webhook.
        definition(
            &SecurityProfileNodeStatus::crd(),
            &[
                ("v1alpha1", older::same),
                (node_status::REPORT_VERSION, older::without_subresource),
            ],
        ),
        converted(definition(
            &SecurityProfilesOperatorDaemon::crd(),
            &[("v1alpha1", older::spod)],
        )),
        converted(definition(
            &SelinuxProfile::crd(),
            &[("v1alpha2", older::selinux)],
        )),
    ]
}

/// The names of the CustomResourceDefinitions whose objects the webhook converts.
pub fn converted_kinds() -> Vec<String> {
    let all = all();
    let converted = all
        .iter()
        .filter(|crd| !crd["spec"]["conversion"].is_null());
    let name = |crd: &Value| crd["metadata"]["name"].as_str().map(str::to_owned);
    converted.filter_map(name).collect()
}

/// Lets the webhook convert the objects. The manager adds the certificate authority.
fn converted(mut crd: Value) -> Value {
    crd["spec"]["conversion"] = json!({
        "strategy": "Webhook",
        "webhook": {
            "clientConfig": {
                "service": {
                    "name": CONVERSION_SERVICE,
                    "namespace": CONVERSION_NAMESPACE,
                    "path": CONVERSION_PATH,
                    "port": CONVERSION_PORT,
                },
            },
            "conversionReviewVersions": ["v1"],
        },
    });
    sorted(crd)
}

/// A file of `deploy/crds`.
pub struct File {
    /// Its name, `<plural>.yaml`.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// The files of `deploy/crds`. Byte-stable: equal types give equal files.
pub fn files() -> Vec<File> {
    all().iter().map(render).collect()
}

fn render(crd: &Value) -> File {
    let plural = crd["spec"]["names"]["plural"]
        .as_str()
        .expect("kube-derive names the plural");
    let yaml = serde_saphyr::to_string(crd).expect("a JSON value is a YAML document");
    File {
        name: format!("{plural}.yaml"),
        text: format!(
            "# Generated from crates/spo-api/src by `cargo run -q -p spo-api --bin crdgen -- \
             deploy/crds`. Do not edit.\n{yaml}"
        ),
    }
}

/// What makes an older version out of v1.
type Edit = fn(&mut Value);

fn definition(v1: &CustomResourceDefinition, older: &[(&str, Edit)]) -> Value {
    let mut crd = serde_json::to_value(v1).expect("a CustomResourceDefinition is JSON");
    crd["metadata"]["labels"] = json!({ LABEL_APP: APP });
    let names = &mut crd["spec"]["names"];
    names["categories"] = json!([CATEGORY]);
    names["listKind"] = json!(format!("{}List", v1.spec.names.kind));

    let mut v1 = crd["spec"]["versions"][0].take();
    let schema = &mut v1["schema"]["openAPIV3Schema"];
    shape(schema);
    if !schema["properties"]["status"]["properties"]["conditions"].is_null() {
        let columns = v1["additionalPrinterColumns"]
            .as_array_mut()
            .expect("it has a status");
        columns.extend(condition_columns());
    }
    let older = older.iter().map(|(name, edit)| {
        let mut version = v1.clone();
        version["name"] = json!(name);
        version["storage"] = json!(false);
        edit(&mut version);
        version
    });
    let versions: Vec<Value> = std::iter::once(v1.clone()).chain(older).collect();
    crd["spec"]["versions"] = json!(versions);
    sorted(crd)
}

/// The columns of a kind which has the condition `Ready`, with `-o wide`.
fn condition_columns() -> [Value; 2] {
    [("Ready", "status"), ("Message", "message")].map(|(name, field)| {
        json!({
            "name": name,
            "type": "string",
            "jsonPath": format!(r#".status.conditions[?(@.type=="Ready")].{field}"#),
            "priority": 10,
        })
    })
}

/// Keys in alphabetical order, with or without serde_json's `preserve_order`.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        scalar => scalar,
    }
}

// From the schema of schemars to the one which Go's generator makes (contract 01, section 10).

/// Gives a schema the shape of the Kubernetes API.
///
/// schemars knows neither the markers of embedded Kubernetes types nor that an absent field is not
/// null; the API server supplies the type and the metadata.
fn shape(root: &mut Value) {
    let root = root.as_object_mut().expect("kube-derive makes an object");
    let properties = root["properties"].as_object_mut().expect("with properties");
    for group in properties.values_mut().filter_map(Value::as_object_mut) {
        // The types have a default in order to be read where they are absent.
        group.remove("default");
    }
    // Without descriptions: the API server has its own, and refuses one of metadata.
    for (name, kind) in [
        ("apiVersion", "string"),
        ("kind", "string"),
        ("metadata", "object"),
    ] {
        properties.insert(name.to_owned(), json!({ "type": kind }));
    }
    visit(root, &mut |schema| {
        plain(schema);
        markers(schema);
    });
    visit(root, &mut terse);
}

/// What a deprecated field consists of is explained where it has gone to. Clients keep a whole
/// definition in one annotation, which holds 256 KiB, and an affinity is long.
fn terse(schema: &mut Map<String, Value>) {
    let text = |schema: &Map<String, Value>| {
        let text = schema.get("description").and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let own = text(schema);
    if !own.starts_with("Deprecated:") {
        return;
    }
    visit(schema, &mut |inner| {
        if !text(inner).starts_with("Deprecated:") {
            inner.insert("description".to_owned(), json!("See the new field."));
        }
    });
}

/// Calls `each` for a schema and all schemas within it, outer ones first.
fn visit(schema: &mut Map<String, Value>, each: &mut impl FnMut(&mut Map<String, Value>)) {
    each(schema);
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(|map| map.values_mut()) {
        if let Value::Object(property) = property {
            visit(property, each);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(key) {
            visit(inner, each);
        }
    }
}

/// Takes away what schemars says beyond the Kubernetes API.
fn plain(schema: &mut Map<String, Value>) {
    schema.remove("nullable");
    schema.remove("title");
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let format = schema.get("format").and_then(Value::as_str);
    if format.is_some_and(|format| format.starts_with("uint")) {
        schema.remove("format");
    }
    // JSONSchemaProps holds bounds as floating point numbers.
    for key in ["minimum", "maximum"] {
        if let Some(bound) = schema.get(key).and_then(Value::as_f64) {
            schema.insert(key.to_owned(), json!(bound as i64));
        }
    }
    if let Some(text) = schema.get("description").and_then(Value::as_str) {
        schema.insert("description".to_owned(), json!(unwrap(text)));
    }
}

/// A text whose paragraphs are one line each: clients wrap it where they show it.
fn unwrap(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// Adds what the embedded types of Kubernetes have lost on the way: how lists and selectors merge,
/// and what a quantity looks like.
fn markers(schema: &mut Map<String, Value>) {
    let has = |name: &str| {
        schema
            .get("properties")
            .is_some_and(|p| p.get(name).is_some())
    };
    let label_selector = has("matchExpressions") && has("matchLabels");
    let node_selector_term = has("matchExpressions") && has("matchFields");
    let node_selector = has("nodeSelectorTerms");
    if label_selector || node_selector_term || node_selector {
        schema.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    }
    if schema.get("type").is_some_and(|kind| kind == "array") {
        schema
            .entry("x-kubernetes-list-type")
            .or_insert_with(|| json!("atomic"));
    }
    let quantity = !schema.contains_key("pattern");
    if schema.contains_key("x-kubernetes-int-or-string") && quantity {
        schema.insert(
            "anyOf".to_owned(),
            json!([{ "type": "integer" }, { "type": "string" }]),
        );
        schema.insert("pattern".to_owned(), json!(QUANTITY));
        schema.insert(
            "description".to_owned(),
            json!("A quantity, such as `100m` or `1Gi`."),
        );
    }
}

/// What a quantity looks like (Kubernetes API, `resource.Quantity`).
const QUANTITY: &str = concat!(
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))",
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
);
