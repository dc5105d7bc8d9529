//! Laws of the conversion, for objects which the schemas describe and objects which they do not:
//! nothing is lost on the way through another version, and what is in force stays in force.

#![expect(
    clippy::unwrap_used,
    reason = "also in the helpers a failed unwrap is a failed test"
)]

use std::collections::BTreeMap;

use proptest::{collection, option, prelude::*, sample::select, strategy::Union};
use serde_json::{Map, Value, json};
use spo_api::{
    GROUP,
    convert::convert,
    crd,
    spod::{SecurityProfilesOperatorDaemonSpec, effective::effective, held::HeldSpod},
};

const SPOD: &str = "SecurityProfilesOperatorDaemon";

/// An old version of a kind, with a generator of objects for it and one for v1.
struct Pair {
    kind: String,
    old: String,
    objects: BoxedStrategy<Value>,
    old_objects: BoxedStrategy<Value>,
}

fn pairs() -> Vec<Pair> {
    let mut pairs = vec![];
    for crd in crd::all() {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
        let versions = crd["spec"]["versions"].as_array().unwrap();
        for old in &versions[1..] {
            let name = old["name"].as_str().unwrap();
            pairs.push(Pair {
                kind: kind.to_owned(),
                old: name.to_owned(),
                objects: object(kind, &versions[0], &Foreign::Everywhere),
                old_objects: object(kind, old, &Foreign::Everywhere),
            });
        }
    }
    pairs
}

/// Where a generated object has values which the schema does not allow.
enum Foreign {
    Everywhere,
    Nowhere,
}

fn object(kind: &str, version: &Value, foreign: &Foreign) -> BoxedStrategy<Value> {
    let mut root = version["schema"]["openAPIV3Schema"].clone();
    for name in ["apiVersion", "kind", "metadata"] {
        root["properties"].as_object_mut().unwrap().remove(name);
    }
    without_deprecated(&mut root);
    let api_version = format!("{GROUP}/{}", version["name"].as_str().unwrap());
    let kind = kind.to_owned();
    (value(&root, foreign), json_value())
        .prop_map(move |(mut object, metadata)| {
            object["apiVersion"] = json!(api_version);
            object["kind"] = json!(kind);
            object["metadata"] = metadata;
            object
        })
        .boxed()
}

/// Fields of old do not come back. They have laws of their own.
fn without_deprecated(schema: &mut Value) {
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|_, property| !is_deprecated(property));
        properties.values_mut().for_each(without_deprecated);
    }
    // Neither does a spelling of old.
    if let Some(values) = schema["enum"].as_array_mut() {
        values.retain(|value| value != "ApparmorProfile");
    }
}

fn is_deprecated(schema: &Value) -> bool {
    let description = schema["description"].as_str();
    description.is_some_and(|text| text.starts_with("Deprecated:"))
}

/// Values which a schema allows, and others if they are wanted.
fn value(schema: &Value, foreign: &Foreign) -> BoxedStrategy<Value> {
    if let Some(values) = schema["enum"].as_array() {
        return select(values.clone()).boxed();
    }
    // The one text among the fields whose form its type checks.
    if schema["pattern"]
        .as_str()
        .is_some_and(|it| it.contains("auditd"))
    {
        return select(vec![json!("bpf"), json!("AUDITD"), json!("Netlink")]).boxed();
    }
    match schema["type"].as_str() {
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("integer") => any::<i32>().prop_map(Value::from).boxed(),
        Some("array") => {
            let items = collection::vec(value(&schema["items"], foreign), 0..3);
            items.prop_map(Value::from).boxed()
        }
        Some("object") => members(schema, foreign),
        // Defaults come up, too.
        _ => prop_oneof!["[1-3]", Just(text_default(schema))]
            .prop_map(Value::from)
            .boxed(),
    }
}

fn text_default(schema: &Value) -> String {
    schema["default"].as_str().unwrap_or_default().to_owned()
}

fn members(schema: &Value, foreign: &Foreign) -> BoxedStrategy<Value> {
    let mut all = Just(Map::new()).boxed();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let required = schema["required"]
            .as_array()
            .is_some_and(|required| required.contains(&json!(name)));
        let inner = value(property, foreign);
        let member = match foreign {
            Foreign::Everywhere => {
                option::weighted(0.6, prop_oneof![9 => inner, 1 => json_value()]).boxed()
            }
            Foreign::Nowhere if required => inner.prop_map(Some).boxed(),
            Foreign::Nowhere => option::weighted(0.6, inner).boxed(),
        };
        let name = name.clone();
        all = (all, member)
            .prop_map(move |(mut map, member)| {
                map.extend(member.map(|member| (name.clone(), member)));
                map
            })
            .boxed();
    }
    all.prop_map(Value::Object).boxed()
}

/// JSON without a name or a text that means something in some version.
fn json_value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "_.{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            collection::btree_map("_.{0,3}", inner, 0..3)
                .prop_map(|map: BTreeMap<_, _>| map.into_iter().collect()),
        ]
    })
    .boxed()
}

/// The name of an old version, and an object.
fn some_object(
    objects: fn(Pair) -> BoxedStrategy<Value>,
) -> impl Strategy<Value = (String, Value)> {
    Union::new(
        pairs()
            .into_iter()
            .map(|pair| (Just(pair.old.clone()), objects(pair))),
    )
}

fn names(name: fn(Pair) -> String) -> impl Strategy<Value = String> {
    select(pairs().into_iter().map(name).collect::<Vec<_>>())
}

/// A text is how the oldest release spells the state of a node. It becomes what it means, in every
/// version.
fn is_state_as_text(object: &Value) -> bool {
    object["kind"] == "SecurityProfileNodeStatus" && object["status"].is_string()
}

fn there_and_back(object: &Value, there: &str, back: &str) -> Value {
    let there = convert(object.clone(), &format!("{GROUP}/{there}")).unwrap();
    convert(there, &format!("{GROUP}/{back}")).unwrap()
}

/// A specification of v1 which has flat names.
fn flat_spec() -> BoxedStrategy<Value> {
    let crd = crd::all().into_iter();
    let spod = crd
        .into_iter()
        .find(|crd| crd["spec"]["names"]["kind"] == SPOD);
    let version = &spod.unwrap()["spec"]["versions"][0];
    let mut spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
    // Two large ones are enough with their names.
    for path in ["affinity", "daemonResourceRequirements"] {
        spec["properties"][path]["properties"] = json!({});
    }
    spec["properties"]["scheduling"]["properties"]["affinity"]["properties"] = json!({});
    value(&spec, &Foreign::Nowhere)
}

fn spod(spec: &Value) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": SPOD, "metadata": {"name": "spod"}, "spec": spec})
}

fn read(spec: &Value) -> SecurityProfilesOperatorDaemonSpec {
    serde_json::from_value(spec.clone()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn v1_survives_an_old_version((old, object) in some_object(|pair| pair.objects)) {
        prop_assume!(!is_state_as_text(&object));
        prop_assert_eq!(there_and_back(&object, &old, "v1"), object);
    }

    #[test]
    fn an_old_version_survives_v1((old, object) in some_object(|pair| pair.old_objects)) {
        prop_assume!(!is_state_as_text(&object));
        prop_assert_eq!(there_and_back(&object, "v1", &old), object);
    }

    #[test]
    fn any_json_is_taken(
        json in json_value(),
        kind in names(|pair| pair.kind),
        old in names(|pair| pair.old),
    ) {
        prop_assert!(convert(json.clone(), &old).is_err());
        let object = json!({
            "apiVersion": format!("{GROUP}/{old}"), "kind": kind, "spec": json, "status": json,
        });
        if let Ok(v1) = convert(object.clone(), &format!("{GROUP}/v1")) {
            prop_assert_eq!(&v1["spec"], &object["spec"]);
        }
    }

    /// Through the old version, flat names become grouped ones, and mean the same.
    #[test]
    fn what_is_in_force_stays_in_force(spec in flat_spec()) {
        let before = effective(&read(&spec));
        let object = there_and_back(&spod(&spec), "v1alpha1", "v1");
        let after = effective(&read(&object["spec"]));
        prop_assert_eq!(after.moved, vec![]);
        prop_assert_eq!(&after.spec, &before.spec);
        // And once is enough.
        prop_assert_eq!(&effective(&before.spec).spec, &before.spec);
    }

    #[test]
    fn watchers_hold_the_restrictions_which_are_in_force(spec in flat_spec()) {
        let held: HeldSpod = serde_json::from_value(spod(&spec)).unwrap();
        let security = effective(&read(&spec)).spec.security.unwrap_or_default();
        prop_assert_eq!(held.security(), security);
    }

    #[test]
    fn without_flat_names_nothing_moves(spec in flat_spec()) {
        let mut spec = read(&spec);
        spec.flat = Default::default();
        let found = effective(&spec);
        prop_assert_eq!(found.moved, vec![]);
        prop_assert_eq!(found.spec, spec);
    }
}
