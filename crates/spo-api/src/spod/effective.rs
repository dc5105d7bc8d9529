//! Which of the two names of a field is in force: the one in a group, or the flat one of release
//! 0.10. Pure.
//!
//! The rule works on JSON, so that reconcilers and conversion share it.

use serde_json::{Map, Value};

use super::SecurityProfilesOperatorDaemonSpec;
use super::flat::{Flat, Held, MOVES};

/// A configuration in which nothing stands at a flat name.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// What is in force, in groups.
    pub spec: SecurityProfilesOperatorDaemonSpec,
    /// The flat fields that were used.
    pub moved: Vec<Moved>,
}

/// A flat field that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Its path below `spec`, for example `enableLogEnricher`.
    pub flat: &'static str,
    /// The path below `spec` to use instead, for example `enricher.enableLogEnricher`.
    pub grouped: &'static str,
    /// Whether it is in force. If not, the field in the group says something else.
    pub applied: bool,
}

/// What is in force. A value in a group wins over a flat one, unless it is the default, which the
/// API server writes into every group that is present.
pub fn effective(spec: &SecurityProfilesOperatorDaemonSpec) -> Effective {
    if spec.flat == Flat::default() {
        return Effective {
            spec: spec.clone(),
            moved: vec![],
        };
    }
    let mut json = match serde_json::to_value(spec) {
        Ok(Value::Object(json)) => json,
        other => unreachable!("a specification is written as an object, not as {other:?}"),
    };
    let Settled { moved, unknown: _ } = settle(&mut json, Wins::Grouped);
    let settled = serde_json::from_value(Value::Object(json));
    let settled: SecurityProfilesOperatorDaemonSpec =
        settled.expect("a specification is read as it was written");
    Effective {
        spec: SecurityProfilesOperatorDaemonSpec {
            flat: Flat::default(),
            ..settled
        },
        moved,
    }
}

/// Who wins where a field has a value under both names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wins {
    /// The flat name.
    Flat,
    /// The name in the group, if it says something.
    Grouped,
}

/// What [`settle`] did.
pub(crate) struct Settled {
    pub(crate) moved: Vec<Moved>,
    /// What stays because the group has no value for it.
    pub(crate) unknown: Vec<Unknown>,
}

/// A text in a flat field for which the group has no value.
pub(crate) struct Unknown {
    pub(crate) flat: &'static str,
    pub(crate) grouped: &'static str,
    pub(crate) text: String,
    /// The values which the group has.
    pub(crate) known: Vec<&'static str>,
}

/// Moves flat fields of a specification into their groups. What has not the type which the schema
/// asks for stays where it is.
pub(crate) fn settle(spec: &mut Map<String, Value>, wins: Wins) -> Settled {
    let mut settled = Settled {
        moved: vec![],
        unknown: vec![],
    };
    for field in &MOVES {
        let held = match get(spec, field.flat) {
            Some(value) => field.read(value),
            None => continue,
        };
        let value = match held {
            Held::Value(value) => value,
            Held::Unknown(text) => {
                settled.unknown.push(Unknown {
                    flat: field.flat,
                    grouped: field.grouped,
                    text,
                    known: field.known(),
                });
                continue;
            }
            Held::Foreign => continue,
        };
        let grouped = get(spec, field.grouped);
        let explicit = grouped.is_some_and(|grouped| field.is_explicit(grouped));
        let applied = wins == Wins::Flat || !explicit;
        if applied && !set(spec, field.grouped, value) {
            continue;
        }
        remove(spec, field.flat);
        settled.moved.push(Moved {
            flat: field.flat,
            grouped: field.grouped,
            applied,
        });
    }
    settled
}

/// The value at a path.
fn get<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => object.get(path),
        Some((first, rest)) => get(object.get(first)?.as_object()?, rest),
    }
}

/// Puts a value at a path and makes the objects above it. Without an effect where one of them is
/// something else.
fn set(object: &mut Map<String, Value>, path: &str, value: Value) -> bool {
    let Some((first, rest)) = path.split_once('.') else {
        object.insert(path.to_owned(), value);
        return true;
    };
    match object.get_mut(first) {
        Some(inner) => inner
            .as_object_mut()
            .is_some_and(|inner| set(inner, rest, value)),
        None => {
            let mut inner = Map::new();
            let done = set(&mut inner, rest, value);
            object.insert(first.to_owned(), Value::Object(inner));
            done
        }
    }
}

/// Takes away the value at a path, and objects that are empty then.
fn remove(object: &mut Map<String, Value>, path: &str) {
    let Some((first, rest)) = path.split_once('.') else {
        object.remove(path);
        return;
    };
    if let Some(Value::Object(inner)) = object.get_mut(first) {
        remove(inner, rest);
        if inner.is_empty() {
            object.remove(first);
        }
    }
}
