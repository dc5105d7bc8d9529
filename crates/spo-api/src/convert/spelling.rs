//! Values which old versions spell differently. Pure.
//!
//! Source: contract 01, 4.3. `tests/convert.rs` compares the tables with the schemas.

use serde_json::Value;

/// A field, and its values: in v1, in the old version.
struct Field {
    pointer: &'static str,
    values: &'static [(&'static str, &'static str)],
}

const RECORDING: [Field; 2] = [
    Field {
        pointer: "/spec/recorder",
        values: &[("Bpf", "bpf"), ("Logs", "logs")],
    },
    Field {
        pointer: "/spec/mergeStrategy",
        values: &[("None", "none"), ("Containers", "containers")],
    },
];

const SPOD: [Field; 2] = [
    Field {
        pointer: "/spec/enricher/logEnricherSource",
        values: &[
            ("Auditd", "auditd"),
            ("Bpf", "bpf"),
            ("Netlink", "netlink"),
            ("Auto", "auto"),
        ],
    },
    Field {
        pointer: "/status/state",
        values: &[
            ("Pending", "PENDING"),
            ("Creating", "CREATING"),
            ("Updating", "UPDATING"),
            ("Running", "RUNNING"),
            ("Error", "ERROR"),
        ],
    },
];

fn fields(kind: &str) -> &'static [Field] {
    match kind {
        "ProfileRecording" => &RECORDING,
        "SecurityProfilesOperatorDaemon" => &SPOD,
        _ => &[],
    }
}

/// Spells the values of an old version as v1 does.
pub(super) fn to_v1(kind: &str, object: &mut Value) {
    respell(kind, object, |&(v1, old)| (old, v1));
}

/// Spells the values of v1 as the old version does.
pub(super) fn from_v1(kind: &str, object: &mut Value) {
    respell(kind, object, |&pair| pair);
}

type Pair = (&'static str, &'static str);

fn respell(kind: &str, object: &mut Value, direction: fn(&Pair) -> Pair) {
    for field in fields(kind) {
        let Some(Value::String(text)) = object.pointer_mut(field.pointer) else {
            continue;
        };
        let mut pairs = field.values.iter().map(direction);
        if let Some((_, other)) = pairs.find(|(one, _)| one == text) {
            other.clone_into(text);
        }
    }
}
