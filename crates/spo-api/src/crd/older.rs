//! What older versions have that v1 has not: other spellings of values, and the fields of releases
//! up to 0.10, which would be pruned before conversion sees them if no schema declared them.
//!
//! Source: contract 01, 4.3 and 4.5.

use serde_json::{Value, json};

pub(super) fn same(_: &mut Value) {}

/// Without the subresource, one request writes metadata, spec and status.
pub(super) fn without_subresource(version: &mut Value) {
    version
        .as_object_mut()
        .expect("a version is an object")
        .remove("subresources");
}

/// SeccompProfile and RawSelinuxProfile.
pub(super) fn profile(version: &mut Value) {
    switch(version, "disabled", "state", "Disabled");
}

pub(super) fn selinux(version: &mut Value) {
    profile(version);
    switch(version, "permissive", "mode", "Permissive");
}

pub(super) fn apparmor(version: &mut Value) {
    profile(version);
    switch(version, "complainMode", "mode", "Complain");
}

pub(super) fn recording(version: &mut Value) {
    values(field(version, "spec.recorder"), str::to_lowercase);
    values(field(version, "spec.mergeStrategy"), str::to_lowercase);
    let kind = field(version, "spec.kind");
    kind["enum"]
        .as_array_mut()
        .expect("it is an enumeration")
        .push(json!("ApparmorProfile"));
    kind["description"] = json!(format!(
        "{} `ApparmorProfile` is a deprecated spelling of `AppArmorProfile`.",
        description(kind)
    ));
}

pub(super) fn spod(version: &mut Value) {
    values(
        field(version, "spec.enricher.logEnricherSource"),
        str::to_lowercase,
    );
    values(field(version, "status.state"), str::to_uppercase);
    // These two were free text. Conversion refuses what it does not know, and names it.
    remove(field(version, "spec.logEnricherSource"), "pattern");
    let actions = field(version, "spec.allowedSeccompActions");
    remove(&mut actions["items"], "enum");
}

/// Declares a boolean of old which has become the value of a field.
fn switch(version: &mut Value, old: &str, new: &str, value: &str) {
    field(version, "spec")["properties"][old] = json!({
        "type": "boolean",
        "description": format!("Deprecated: use spec.{new}, with `{value}` for true. Wins over it."),
    });
}

/// The schema of a field.
fn field<'a>(version: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.')
        .fold(&mut version["schema"]["openAPIV3Schema"], |schema, name| {
            let field = &mut schema["properties"][name];
            assert!(field.is_object(), "no field {name} of {path}");
            field
        })
}

fn remove(schema: &mut Value, key: &str) {
    let schema = schema.as_object_mut().expect("a schema is an object");
    schema.remove(key).expect("what is taken away is there");
}

/// Spells the values and the default of an enumeration differently, also in its description, where
/// a value stands between backticks.
fn values(schema: &mut Value, spell: fn(&str) -> String) {
    let old: Vec<String> =
        serde_json::from_value(schema["enum"].clone()).expect("it is an enumeration of text");
    schema["description"] = json!(old.iter().fold(description(schema), |text, value| {
        text.replace(&format!("`{value}`"), &format!("`{}`", spell(value)))
    }));
    schema["enum"] = old.iter().map(|value| spell(value)).collect();
    if let Some(default) = schema["default"].as_str().map(spell) {
        schema["default"] = json!(default);
    }
}

fn description(schema: &Value) -> String {
    let description = schema["description"].as_str();
    description.expect("every field has one").to_owned()
}
