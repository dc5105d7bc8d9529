//! Rules against records: the contract's semantics, upstream's examples, and what was wrong there.

use std::collections::BTreeMap;

use super::*;

/// A record as a test writes it: `key=text`, `key:number`, `key~null`.
struct Sample {
    texts: BTreeMap<&'static str, &'static str>,
    numbers: BTreeMap<&'static str, u64>,
    nulls: Vec<&'static str>,
    lists: BTreeMap<&'static str, Vec<&'static str>>,
    objects: BTreeMap<&'static str, Sample>,
}

impl Fields for Sample {
    fn field(&self, key: &str) -> Option<Value<'_>> {
        let text = self
            .texts
            .get(key)
            .map(|text| Value::Text(Text::from(*text)));
        let number = self.numbers.get(key).map(|number| Value::Number(*number));
        let null = self.nulls.contains(&key).then_some(Value::Null);
        let list = self.lists.get(key).map(|list| Value::List(list));
        let object = self.objects.get(key).map(|object| Value::Object(object));
        text.or(number).or(null).or(list).or(object)
    }
}

fn sample() -> Sample {
    let empty = || Sample {
        texts: BTreeMap::new(),
        numbers: BTreeMap::new(),
        nulls: Vec::new(),
        lists: BTreeMap::new(),
        objects: BTreeMap::new(),
    };
    let mut resource = empty();
    resource.texts.insert("pod", "web");
    let mut sample = empty();
    sample
        .texts
        .extend([("type", "seccomp"), ("namespace", "default"), ("empty", "")]);
    sample.texts.insert("version", "spo/v1_alpha");
    sample
        .numbers
        .extend([("syscallID", 50), ("uid", 4_294_967_295)]);
    sample.nulls.push("nothing");
    sample.lists.insert("syscalls", vec!["clone", "execve"]);
    sample.objects.insert("resource", resource);
    sample
}

fn filters(json: &str) -> Filters {
    Filters::parse(json).unwrap().0
}

#[track_caller]
fn check(json: &str, expected: Verdict) {
    assert_eq!(filters(json).decide(&sample()), expected, "{json}");
}

/// One rule that drops what it matches.
#[track_caller]
fn matches(rule: &str, expected: bool) {
    let verdict = if expected {
        Verdict::Drop
    } else {
        Verdict::Emit
    };
    check(&format!(r#"[{{"level":"None",{rule}}}]"#), verdict);
}

#[test]
fn without_a_rule_that_matches_everything_is_written() {
    for json in ["", " \n", "[]", "null", "[null]", "[{}]"] {
        check(json, Verdict::Emit);
    }
    matches(r#""matchKeys":["requestUID"]"#, false);
    matches(r#""matchKeys":[]"#, false);
    matches(r#""matchValues":["seccomp"]"#, false);
}

#[test]
fn presence_suffices_where_no_value_is_named() {
    for key in [
        "type",
        "empty",
        "nothing",
        "syscallID",
        "syscalls",
        "resource",
    ] {
        matches(&format!(r#""matchKeys":["{key}"]"#), true);
        matches(&format!(r#""matchKeys":["{key}"],"matchValues":[]"#), true);
        matches(
            &format!(r#""matchKeys":["{key}"],"matchValues":null"#),
            true,
        );
    }
}

#[test]
fn any_key_and_any_value_match() {
    matches(
        r#""matchKeys":["requestUID","type"],"matchValues":["x","seccomp"]"#,
        true,
    );
    matches(
        r#""matchKeys":["namespace","type"],"matchValues":["seccomp"]"#,
        true,
    );
    matches(r#""matchKeys":["type"],"matchValues":["Seccomp"]"#, false);
    matches(r#""matchKeys":["Type"]"#, false);
}

#[test]
fn numbers_are_compared_as_numbers() {
    matches(r#""matchKeys":["syscallID"],"matchValues":["50"]"#, true);
    matches(r#""matchKeys":["syscallID"],"matchValues":["050"]"#, true);
    matches(r#""matchKeys":["syscallID"],"matchValues":["5"]"#, false);
    matches(
        r#""matchKeys":["syscallID"],"matchValues":["fifty"]"#,
        false,
    );
}

#[test]
fn what_upstream_gets_wrong() {
    // The first number decided; unsigned numbers, maps and lists never matched.
    matches(
        r#""matchKeys":["syscallID"],"matchValues":["1","50"]"#,
        true,
    );
    matches(r#""matchKeys":["uid"],"matchValues":["4294967295"]"#, true);
    matches(
        r#""matchKeys":["resource/pod"],"matchValues":["web"]"#,
        true,
    );
    matches(r#""matchKeys":["syscalls"],"matchValues":["execve"]"#, true);
    matches(r#""matchKeys":["syscalls"],"matchValues":["exec"]"#, false);
}

#[test]
fn a_path_leads_through_objects_only() {
    matches(r#""matchKeys":["resource/pod"]"#, true);
    matches(r#""matchKeys":["resource/pod/x"]"#, false);
    matches(r#""matchKeys":["resource/namespace"]"#, false);
    matches(r#""matchKeys":["type/pod"]"#, false);
    matches(r#""matchKeys":["nothing/pod"]"#, false);
    matches(r#""matchKeys":["/"]"#, false);
    matches(r#""matchKeys":["resource"],"matchValues":["web"]"#, false);
}

#[test]
fn the_lowest_priority_number_decides() {
    let rule = |priority: i64, level: &str| {
        format!(r#"{{"priority":{priority},"level":"{level}","matchKeys":["type"]}}"#)
    };
    let rules = |a: String, b: String| format!("[{a},{b}]");
    check(&rules(rule(2, "None"), rule(1, "Metadata")), Verdict::Emit);
    check(&rules(rule(1, "None"), rule(2, "Metadata")), Verdict::Drop);
    check(&rules(rule(0, "Metadata"), rule(-1, "None")), Verdict::Drop);
    check(&rules(rule(1, "None"), rule(1, "Metadata")), Verdict::Drop);
    check(&rules(rule(1, "Metadata"), rule(1, "None")), Verdict::Emit);
}

#[test]
fn the_examples_of_upstreams_documentation() {
    let user_activity = r#"[{"priority":100,"level":"Metadata","matchKeys":["requestUID"]},{"priority":999, "level":"None","matchKeys":["version"],"matchValues":["spo/v1_alpha"]}]"#;
    check(user_activity, Verdict::Drop);
    let mut session = sample();
    session.texts.insert("requestUID", "0b2f2a30");
    assert_eq!(filters(user_activity).decide(&session), Verdict::Emit);

    for key in ["matchKeys", "matchLabels", "MatchLabels"] {
        let namespace = format!(
            r#"[{{"priority":100,"level":"Metadata","{key}":["namespace"],"matchValues":["default"]}},{{"priority":999, "level":"None","{key}":["type"],"matchValues":["seccomp"]}}]"#
        );
        check(&namespace, Verdict::Emit);
        let mut other = sample();
        other.texts.insert("namespace", "other");
        assert_eq!(filters(&namespace).decide(&other), Verdict::Drop);
    }
}

#[test]
fn names_of_fields_match_in_either_case() {
    check(
        r#"[{"Priority":1,"LEVEL":"None","matchkeys":["type"],"MatchValues":["seccomp"]}]"#,
        Verdict::Drop,
    );
}

#[test]
fn what_has_no_effect_is_told() {
    let (filters, notices) = Filters::parse(
        r#"[{"matchLabels":["type"],"level":"none"},{"level":"None","verb":1},{"level":"Metadata","matchKeys":["a"]}]"#,
    )
    .unwrap();
    assert_eq!(filters.decide(&sample()), Verdict::Emit);
    let texts: Vec<String> = notices.iter().map(Notice::to_string).collect();
    assert_eq!(
        texts,
        [
            "field matchLabels of rule 1 of the enricher filters is taken for matchKeys: write \
             matchKeys",
            "level \"none\" of rule 1 of the enricher filters is unknown and taken for \
             \"Metadata\": write \"Metadata\" or \"None\"",
            "field \"verb\" of rule 2 of the enricher filters is unknown and has no effect: a rule \
             has priority, level, matchKeys and matchValues",
            "rule 2 of the enricher filters never matches: name the fields to look at in matchKeys",
        ]
    );
}

#[test]
fn a_bad_rule_is_named_with_its_field_and_the_fix() {
    for (json, expected) in [
        (
            "{}",
            "enricher filters are an object, not an array: write [] around the rules",
        ),
        (
            r#"[{}, "a"]"#,
            r#"rule 2 of the enricher filters is a text, not an object: write {"priority": …}"#,
        ),
        (
            r#"[{"priority":"1"}]"#,
            "field priority of rule 1 of the enricher filters is a text: write a whole number \
             without quotes",
        ),
        (
            r#"[{"priority":1.5}]"#,
            "field priority of rule 1 of the enricher filters is a number with a fraction or out \
             of range: write a whole number without quotes",
        ),
        (
            r#"[{},{"matchvalues":[50]}]"#,
            "field matchValues of rule 2 of the enricher filters is an array in which not all \
             values are texts: write an array of texts, numbers in quotes too: [\"50\"]",
        ),
        (
            r#"[{"matchKeys":"type"}]"#,
            "field matchKeys of rule 1 of the enricher filters is a text: write an array of texts, \
             numbers in quotes too: [\"50\"]",
        ),
        (
            r#"[{"level":true}]"#,
            "field level of rule 1 of the enricher filters is a boolean: write \"Metadata\" to \
             write the record or \"None\" to drop it",
        ),
        (
            // As older documentation shows it: a comma is missing.
            "[{\"matchValues\": [\"default\"]\n\"priority\": 100}]",
            "enricher filters are not JSON at line 2, column 1 (expected `,` or `}`): write an \
             array of rules, with a comma between two of them, a comma between two fields, and \
             none at the end",
        ),
    ] {
        assert_eq!(Filters::parse(json).unwrap_err().to_string(), expected);
    }
}
