//! Foreign bytes as an object that is to be converted: no panic, and an object of v1 is the same
//! after a way through an old version.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use spo_api::GROUP;
use spo_api::convert::convert;
use spo_api::spod::flat::MOVES;

const VERSIONS: [&str; 6] = ["v1", "v1alpha1", "v1alpha2", "v1beta1", "v1report", "v2"];

/// Fields of release 0.10, next to the flat ones of the SPOD.
const FIELDS: [&str; 3] = ["disabled", "permissive", "complainMode"];

/// Where values are spelled differently.
const PLACES: [&str; 5] = [
    "/spec/kind",
    "/spec/recorder",
    "/spec/mergeStrategy",
    "/spec/enricher/logEnricherSource",
    "/status/state",
];

/// Values in the spelling of old versions.
const VALUES: [&str; 13] = [
    "bpf",
    "logs",
    "none",
    "containers",
    "auditd",
    "netlink",
    "auto",
    "PENDING",
    "CREATING",
    "UPDATING",
    "RUNNING",
    "ERROR",
    "ApparmorProfile",
];

fuzz_target!(|input: &[u8]| {
    let Some((version, bytes)) = input.split_first() else {
        return;
    };
    let Ok(object) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let version = VERSIONS[usize::from(*version) % VERSIONS.len()];
    let version = format!("{GROUP}/{version}");
    let Ok(converted) = convert(object.clone(), &version) else {
        return;
    };
    assert_eq!(converted["apiVersion"], version);
    assert_eq!(converted["kind"], object["kind"]);
    assert_eq!(converted.get("metadata"), object.get("metadata"));
    let v1 = format!("{GROUP}/v1");
    if object["apiVersion"] == v1 && !says_it_in_an_old_way(&object) {
        assert_eq!(convert(converted, &v1), Ok(object));
    }
});

/// In an object of v1 that means nothing, or is a flat name, which moves.
fn says_it_in_an_old_way(object: &Value) -> bool {
    let flat = |name: &String| {
        let mut flat = MOVES
            .iter()
            .filter_map(|field| field.flat.split('.').next());
        FIELDS.contains(&name.as_str()) || flat.any(|flat| flat == name)
    };
    let text = |pointer: &&str| {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.is_some_and(|text| VALUES.contains(&text))
    };
    let spec = object.get("spec").and_then(Value::as_object);
    object.get("nodeName").is_some()
        || object.get("status").is_some_and(Value::is_string)
        || spec.is_some_and(|spec| spec.keys().any(flat))
        || PLACES.iter().any(text)
}
