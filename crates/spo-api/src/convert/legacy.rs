//! What releases up to 0.10 wrote into the old versions, as the fields of today. Pure.
//!
//! A field of that time wins over the field of today. Conversion from v1 never makes one, so who
//! sends one to us has written it now, or has stored it before there was another; the field of
//! today next to it is a default which the API server has filled in.
//!
//! Source: contract 01, 4.5.

use serde_json::{Map, Value, json};

use super::{Error, name};
use crate::spod::effective::{Wins, settle};

/// Replaces fields of an old version by those of v1.
pub(super) fn to_v1(kind: &str, object: &mut Value) -> Result<(), Error> {
    match kind {
        "SeccompProfile" | "RawSelinuxProfile" => switches(object, &[DISABLED]),
        "SelinuxProfile" => switches(object, &[DISABLED, PERMISSIVE]),
        "AppArmorProfile" => switches(object, &[DISABLED, COMPLAIN]),
        "ProfileRecording" => recorded_kind(object),
        "SecurityProfileNodeStatus" => node_status(object),
        "SecurityProfilesOperatorDaemon" => return flat(kind, object),
        _ => {}
    }
    Ok(())
}

/// Moves the flat names, which v1 accepts as well (decision 18), into their groups, so that the
/// old version shows what is in force and the promise of this module holds.
pub(super) fn from_v1(kind: &str, object: &mut Value) {
    if kind != "SecurityProfilesOperatorDaemon" {
        return;
    }
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        settle(spec, Wins::Grouped);
    }
}

/// A boolean which has become an enumeration.
struct Switch {
    old: &'static str,
    new: &'static str,
    on: &'static str,
    off: &'static str,
}

const DISABLED: Switch = Switch {
    old: "disabled",
    new: "state",
    on: "Disabled",
    off: "Enabled",
};

const PERMISSIVE: Switch = Switch {
    old: "permissive",
    new: "mode",
    on: "Permissive",
    off: "Enforcing",
};

const COMPLAIN: Switch = Switch {
    old: "complainMode",
    new: "mode",
    on: "Complain",
    off: "Enforce",
};

fn switches(object: &mut Value, switches: &[Switch]) {
    let Some(Value::Object(spec)) = object.get_mut("spec") else {
        return;
    };
    for switch in switches {
        if let Some(&Value::Bool(on)) = spec.get(switch.old) {
            let value = if on { switch.on } else { switch.off };
            spec.remove(switch.old);
            spec.insert(switch.new.to_owned(), value.into());
        }
    }
}

fn recorded_kind(object: &mut Value) {
    if let Some(Value::String(kind)) = object.pointer_mut("/spec/kind")
        && kind == "ApparmorProfile"
    {
        "AppArmorProfile".clone_into(kind);
    }
}

/// The node and the state stood at the top.
fn node_status(object: &mut Value) {
    if let Some(object) = object.as_object_mut()
        && object.get("nodeName").is_some_and(Value::is_string)
        && object.get("spec").is_none_or(Value::is_object)
    {
        let name = object.remove("nodeName");
        let spec = object
            .entry("spec")
            .or_insert_with(|| Value::Object(Map::new()));
        if let (Some(spec), Some(name)) = (spec.as_object_mut(), name) {
            spec.insert("nodeName".to_owned(), name);
        }
    }
    if let Some(state) = object.get_mut("status")
        && state.is_string()
    {
        *state = json!({ "status": state.take() });
    }
}

fn flat(kind: &str, object: &mut Value) -> Result<(), Error> {
    let Some(Value::Object(spec)) = object.get_mut("spec") else {
        return Ok(());
    };
    // A text for which there is no value today can not be shown in the group. To guess could turn
    // off an enricher or widen what profiles may do.
    match settle(spec, Wins::Flat).unknown.into_iter().next() {
        None => Ok(()),
        Some(unknown) => Err(Error::UnknownValue {
            kind: kind.to_owned(),
            name: name(object),
            field: format!("spec.{}", unknown.flat),
            value: unknown.text,
            fix: format!(
                "write one of {} into spec.{}",
                unknown.known.join(", "),
                unknown.grouped
            ),
        }),
    }
}
