//! Plans over small clusters, one decision a test.

use super::*;
use serde_json::json;
use spo_api::spod::SecurityProfilesOperatorDaemonSpec;
use spo_api::spod::effective::effective;
use spo_render::facts::{Certificates, Facts};

fn spod() -> Spod {
    Spod {
        name: "spod".to_owned(),
        namespace: "spo".to_owned(),
        uid: "u-1".to_owned(),
        generation: Some(3),
        status: SecurityProfilesOperatorDaemonStatus::default(),
    }
}

fn meaning(spec: Value) -> Meaning {
    let spec: SecurityProfilesOperatorDaemonSpec = serde_json::from_value(spec).unwrap();
    let effective = effective(&spec);
    let facts = Facts {
        namespace: "spo".to_owned(),
        certificates: Certificates::SelfManaged {
            ca_bundle: Some("bundle".to_owned()),
        },
        ..Facts::default()
    };
    Meaning::Objects {
        rendered: spo_render::render("spod", &effective.spec, &facts),
        effective: Box::new(effective),
    }
}

fn now() -> Time {
    Time("2026-11-21T00:00:00Z".parse().unwrap())
}

/// What would be written, without the content.
fn written(steps: &[Step]) -> Vec<String> {
    let first = |step: &Step| {
        let text = step.to_string();
        let words: Vec<&str> = text.split(' ').take(2).collect();
        words.join(" ")
    };
    steps.iter().map(first).collect()
}

/// The cluster after the steps, as far as objects were applied.
fn applied(steps: &[Step]) -> BTreeMap<Id, Value> {
    let objects = steps.iter().filter_map(|step| match step {
        Step::Apply { object, .. } => Some((Id::of(object), object.clone())),
        _ => None,
    });
    objects.collect()
}

fn plan_objects(meaning: &Meaning, live: &BTreeMap<Id, Value>) -> Vec<Step> {
    objects(&Inputs {
        spod: &spod(),
        meaning,
        live,
        now: now(),
    })
}

#[test]
fn what_is_there_is_not_written_again() {
    let meaning = meaning(json!({}));
    let first = plan_objects(&meaning, &BTreeMap::new());
    assert!(first.len() > 5, "{:?}", written(&first));
    let live = applied(&first);
    assert!(plan_objects(&meaning, &live).is_empty());
}

#[test]
fn a_change_writes_what_it_changes_and_nothing_else() {
    let live = applied(&plan_objects(&meaning(json!({})), &BTreeMap::new()));
    let verbose = meaning(json!({ "verbosity": 1 }));
    let steps = plan_objects(&verbose, &live);
    assert_eq!(written(&steps), ["apply DaemonSet/spod"]);
}

#[test]
fn webhooks_deployed_by_hand_are_neither_written_nor_deleted() {
    let live = applied(&plan_objects(&meaning(json!({})), &BTreeMap::new()));
    let by_hand = meaning(json!({ "webhook": { "staticConfig": true } }));
    assert!(plan_objects(&by_hand, &live).is_empty());
}

#[test]
fn what_another_provider_has_made_goes() {
    let meaning = meaning(json!({}));
    let mut live = applied(&plan_objects(&meaning, &BTreeMap::new()));
    for (name, ours) in [("webhook-cert", true), ("somebody-elses", false)] {
        let mut certificate =
            json!({ "kind": "Certificate", "metadata": { "name": name, "uid": "u" } });
        if ours {
            certificate = live::stamp(certificate);
        }
        live.insert(Id::of(&certificate), certificate);
    }
    let steps = plan_objects(&meaning, &live);
    assert_eq!(written(&steps), ["delete Certificate/webhook-cert"]);
}

#[test]
fn without_a_spod_only_what_has_no_namespace_is_deleted() {
    let live = applied(&plan_objects(&meaning(json!({})), &BTreeMap::new()));
    assert_eq!(
        written(&farewell(&live, "spo")),
        [
            "delete MutatingWebhookConfiguration/spo-mutating-webhook-configuration",
            "delete ValidatingWebhookConfiguration/spo-validating-webhook-configuration",
        ]
    );
}

#[test]
fn the_status_is_written_once_per_change_and_tells_once() {
    let meaning = meaning(json!({ "security": {
        "allowedIdentityRegexp": "^ci@example", "allowedOidcIssuerRegexp": "^https://example",
    } }));
    let live = applied(&plan_objects(&meaning, &BTreeMap::new()));
    let mut spod = spod();
    let plan = |spod: &Spod, failure: Option<&str>| {
        status(
            &Inputs {
                spod,
                meaning: &meaning,
                live: &live,
                now: now(),
            },
            failure,
        )
    };
    let take = |spod: &mut Spod, steps: &[Step]| {
        if let Some(Step::Patch { patch, .. }) = steps.first() {
            spod.status = serde_json::from_value(patch["status"].clone()).unwrap();
        }
    };
    // Applied objects have no status yet, so that nobody has acted on them.
    let steps = plan(&spod, None);
    assert_eq!(
        written(&steps),
        ["patch-status SecurityProfilesOperatorDaemon/spod"]
    );
    take(&mut spod, &steps);
    assert_eq!(spod.status.state, Some(SpodState::Creating));
    assert_eq!(
        spod.status.conditions.len(),
        1,
        "{:?}",
        spod.status.conditions
    );
    assert!(plan(&spod, None).is_empty());

    let steps = plan(&spod, Some("cannot apply DaemonSet/spod: forbidden"));
    assert_eq!(
        written(&steps),
        [
            "patch-status SecurityProfilesOperatorDaemon/spod",
            "publish Warning"
        ]
    );
    take(&mut spod, &steps);
    assert_eq!(spod.status.state, Some(SpodState::Error));
    assert!(plan(&spod, Some("cannot apply DaemonSet/spod: forbidden")).is_empty());
}

#[test]
fn what_the_spod_asks_for_in_vain_and_by_old_names_is_a_condition_each() {
    let meaning = meaning(json!({ "enableLogEnricher": true }));
    let spod = spod();
    let live = BTreeMap::new();
    let steps = status(
        &Inputs {
            spod: &spod,
            meaning: &meaning,
            live: &live,
            now: now(),
        },
        None,
    );
    let Some(Step::Patch { patch, .. }) = steps.first() else {
        panic!("{steps:?}");
    };
    let conditions = patch["status"]["conditions"].as_array().unwrap();
    let kinds: Vec<&str> = conditions
        .iter()
        .filter_map(|c| c["type"].as_str())
        .collect();
    assert_eq!(kinds, ["Ready", INCOMPLETE, DEPRECATED, ANY_SIGNER]);
}
