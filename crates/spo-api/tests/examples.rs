//! The manifests of `examples/`: each is one of our kinds and says nothing that we do not know.

#![expect(
    clippy::disallowed_methods,
    reason = "the files of the repository are the subject"
)]
#![expect(
    clippy::unwrap_used,
    reason = "also in the helpers a failed unwrap is a failed test"
)]

use std::{fs, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use spo_api::{
    apparmor_profile::AppArmorProfile, profile_binding::ProfileBinding,
    profile_recording::ProfileRecording, raw_selinux_profile::RawSelinuxProfile,
    seccomp_profile::SeccompProfile, selinux_profile::SelinuxProfile,
    spod::SecurityProfilesOperatorDaemon,
};

#[test]
fn every_example_says_only_what_we_know() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut examples = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        for document in documents {
            let written = round_trip(&document).unwrap_or_else(|e| panic!("{path:?}: {e}"));
            assert_eq!(
                lost(&document, &written, ""),
                Vec::<String>::new(),
                "{path:?}"
            );
            examples += 1;
        }
    }
    assert!(examples >= 5, "{examples} examples");
}

/// The test above would be of no use if it did not see what gets lost.
#[test]
fn unknown_fields_are_seen() {
    let check = |spec: &str, expected: &[&str]| {
        let text = format!(
            "{{apiVersion: {}/v1, kind: SeccompProfile, metadata: {{name: x}}, spec: {spec}}}",
            spo_api::GROUP
        );
        let document: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(
            lost(&document, &round_trip(&document).unwrap(), ""),
            expected
        );
    };
    check("{defaultAction: SCMP_ACT_LOG}", &[]);
    check(
        "{defaultAction: SCMP_ACT_LOG, defaultErrno: 1}",
        &[".spec.defaultErrno"],
    );
    check(
        "{defaultAction: SCMP_ACT_LOG, syscalls: [{names: [a], action: SCMP_ACT_LOG, errno: 1}]}",
        &[".spec.syscalls[0].errno"],
    );
}

/// What the type of its kind makes of an object.
fn round_trip(object: &Value) -> Result<Value, serde_json::Error> {
    fn through<K: DeserializeOwned + Serialize>(
        object: &Value,
    ) -> Result<Value, serde_json::Error> {
        serde_json::to_value(K::deserialize(object)?)
    }
    match object["kind"].as_str().unwrap() {
        "SeccompProfile" => through::<SeccompProfile>(object),
        "SelinuxProfile" => through::<SelinuxProfile>(object),
        "RawSelinuxProfile" => through::<RawSelinuxProfile>(object),
        "AppArmorProfile" => through::<AppArmorProfile>(object),
        "ProfileBinding" => through::<ProfileBinding>(object),
        "ProfileRecording" => through::<ProfileRecording>(object),
        "SecurityProfilesOperatorDaemon" => through::<SecurityProfilesOperatorDaemon>(object),
        kind => panic!("{kind} is not one of our kinds"),
    }
}

/// The paths of what stands in `document` and not in `written`. Defaults may have come in.
fn lost(document: &Value, written: &Value, path: &str) -> Vec<String> {
    match (document, written) {
        (Value::Object(old), Value::Object(new)) => old
            .iter()
            .flat_map(|(key, value)| {
                lost(
                    value,
                    new.get(key).unwrap_or(&Value::Null),
                    &format!("{path}.{key}"),
                )
            })
            .collect(),
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => old
            .iter()
            .zip(new)
            .enumerate()
            .flat_map(|(index, (old, new))| lost(old, new, &format!("{path}[{index}]")))
            .collect(),
        _ if document == written => Vec::new(),
        _ => vec![path.to_owned()],
    }
}
