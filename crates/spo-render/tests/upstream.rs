//! Ours beside what upstream rendered, as read back from an API server.
//!
//! What upstream rendered lies beside this repository, in `shared/contract/golden/spod`; without it
//! there is nothing to compare. Every difference is accounted for by a line of
//! `upstream-differences.txt`, and every line there by a difference.
#![expect(clippy::unwrap_used, reason = "a test helper may panic like a test")]
#![expect(
    clippy::disallowed_methods,
    reason = "the purity contract is for the crate, not its tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spo_api::spod::SecurityProfilesOperatorDaemon;
use spo_render::facts::{Certificates, Offers, Owner, Platform};
use spo_render::{Facts, render};

/// What an API server adds to what it is given: the end of a line of upstream that ours lacks.
const DEFAULTS: &[&str] = &[
    "metadata.annotations.deployment.kubernetes.io/revision = 1",
    "spec.revisionHistoryLimit = 10",
    "spec.progressDeadlineSeconds = 600",
    "spec.strategy.rollingUpdate.maxSurge = 25%",
    "spec.strategy.rollingUpdate.maxUnavailable = 25%",
    "spec.strategy.type = RollingUpdate",
    "spec.updateStrategy.rollingUpdate.maxSurge = 0",
    ".dnsPolicy = ClusterFirst",
    ".restartPolicy = Always",
    ".schedulerName = default-scheduler",
    ".terminationGracePeriodSeconds = 30",
    ".serviceAccount = spod",
    ".serviceAccount = spo-webhook",
    ".securityContext = {}",
    ".seLinuxOptions = {}",
    ".terminationMessagePath = /dev/termination-log",
    ".terminationMessagePolicy = File",
    ".fieldRef.apiVersion = v1",
    ".defaultMode = 420",
    ".successThreshold = 1",
    ".httpGet.scheme = HTTP",
    "spec.internalTrafficPolicy = Cluster",
    "spec.ipFamilies[IPv4] = present",
    "spec.ipFamilyPolicy = SingleStack",
    "spec.sessionAffinity = None",
    "spec.type = ClusterIP",
    ".matchPolicy = Equivalent",
    ".reinvocationPolicy = Never",
    ".scope = *",
    ".namespaceSelector = {}",
    ".objectSelector = {}",
    " spec.namespaceSelector = {}",
    ".tlsConfig.cert = {}",
    " status = {}",
];

/// The end of the number of the DaemonSet's generation, which counts how often somebody wrote.
const GENERATION: &str = "metadata.annotations.deprecated.daemonset.template.generation = ";

fn upstream() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contract/golden/spod")
}

fn table() -> Vec<(usize, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upstream-differences.txt");
    let text = fs::read_to_string(path).unwrap();
    let mut table = vec![];
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (pattern, reason) = line
            .split_once("  # ")
            .unwrap_or_else(|| panic!("line {number} has no reason: {line}"));
        assert!(!reason.trim().is_empty(), "line {number} has no reason");
        table.push((number, pattern.trim_end().to_owned()));
    }
    table
}

/// The lines of an object: path and value of every leaf, below the kind and name.
fn flatten(object: &Value, lines: &mut BTreeSet<String>) {
    let root = format!(
        "{}/{} ",
        object["kind"].as_str().unwrap(),
        object["metadata"]["name"].as_str().unwrap()
    );
    flatten_value(&root, object, lines);
}

fn flatten_value(path: &str, value: &Value, lines: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let dot = if path.ends_with(' ') { "" } else { "." };
            for (name, value) in members {
                flatten_value(&format!("{path}{dot}{name}"), value, lines);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let keys: Vec<String> = (0..)
                .zip(items)
                .map(|(i, item)| key(path, i, item))
                .collect();
            let ordered = ["containers", "initContainers", "webhooks"];
            if ordered.iter().any(|list| path.ends_with(list)) {
                lines.insert(format!("{path} = {}", keys.join(" ")));
            }
            for (key, item) in keys.iter().zip(items) {
                let path = format!("{path}[{key}]");
                match item {
                    Value::String(text) if text == key => lines.insert(format!("{path} = present")),
                    item => {
                        flatten_value(&path, item, lines);
                        true
                    }
                };
            }
        }
        Value::String(text) => {
            lines.insert(format!("{path} = {}", text.replace('\n', "\\n")));
        }
        other => {
            lines.insert(format!("{path} = {other}"));
        }
    }
}

/// What tells an item from the others: its name, its place where the order means something, or
/// itself.
fn key(path: &str, index: usize, item: &Value) -> String {
    let named = |field: &str| item[field].as_str().map(str::to_owned);
    match item {
        Value::String(text) if !path.ends_with(".args") && !path.ends_with(".command") => {
            text.clone()
        }
        _ if path.ends_with("volumeMounts") => named("mountPath").unwrap(),
        _ => named("name")
            .or_else(|| named("key"))
            .or_else(|| named("path"))
            .unwrap_or_else(|| index.to_string()),
    }
}

fn facts(case: &str) -> Facts {
    let (platform, certificates) = match case {
        "openshift" => (Platform::OpenShift, Certificates::OpenShift),
        _ => (Platform::Kubernetes, Certificates::CertManager),
    };
    let log = json!({"emptyDir": {"sizeLimit": "500Mi"}});
    Facts {
        image: "gcr.io/k8s-staging-sp-operator/security-profiles-operator:latest".to_owned(),
        image_pull_policy: "Always".to_owned(),
        platform,
        certificates,
        selinuxd_image: Some("quay.io/security-profiles-operator/selinuxd".to_owned()),
        json_log_volume: Some((log, "/data/logs/jsonenricher".to_owned())),
        service_monitors: true,
        offers: Offers::ALL,
        owner: Some(Owner {
            name: "spod".to_owned(),
            uid: "uid".to_owned(),
        }),
        ..Facts::default()
    }
}

/// The differences of one case, `-` what only upstream has, `+` what only we have.
fn differences(folder: &Path) -> Vec<String> {
    let case = folder.file_name().unwrap().to_str().unwrap();
    let (mut theirs, mut ours) = (BTreeSet::new(), BTreeSet::new());
    let mut spod = None;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let object: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{path:?}: {error}"));
        if object["kind"] == "SecurityProfilesOperatorDaemon" {
            spod = Some(serde_json::from_value::<SecurityProfilesOperatorDaemon>(object).unwrap());
        } else {
            flatten(&object, &mut theirs);
        }
    }
    let spod = spod.unwrap_or_else(|| panic!("{folder:?} has no SPOD"));
    for object in render("spod", &spod.spec, &facts(case)).objects {
        flatten(&object, &mut ours);
    }
    let is_default = |line: &str| {
        line.contains(GENERATION) || DEFAULTS.iter().any(|default| line.ends_with(default))
    };
    let only_theirs = theirs.difference(&ours).filter(|line| !is_default(line));
    let only_ours = ours.difference(&theirs);
    only_theirs
        .map(|line| format!("{case}: - {line}"))
        .chain(only_ours.map(|line| format!("{case}: + {line}")))
        .collect()
}

/// Whether the text is like the pattern, in which `*` stands for any text and `?` for any sign.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut signs = pattern.chars();
    match signs.next() {
        None => text.is_empty(),
        Some('*') => {
            let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            let rest = signs.as_str();
            starts.into_iter().any(|at| is_like(rest, &text[at..]))
        }
        Some(sign) => {
            let mut text = text.chars();
            text.next()
                .is_some_and(|found| found == sign || sign == '?')
                && is_like(signs.as_str(), text.as_str())
        }
    }
}

#[test]
fn every_difference_from_upstream_is_accounted_for() {
    let Ok(entries) = fs::read_dir(upstream()) else {
        eprintln!(
            "note: nothing of upstream to compare with in {:?}",
            upstream()
        );
        return;
    };
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let table = table();
    let mut used = BTreeSet::new();
    let mut unaccounted = vec![];
    for difference in cases.iter().flat_map(|case| differences(case)) {
        let matching = table
            .iter()
            .filter(|(_, pattern)| is_like(pattern, &difference));
        let numbers: Vec<usize> = matching.map(|(number, _)| *number).collect();
        if numbers.is_empty() {
            unaccounted.push(difference);
        }
        used.extend(numbers);
    }
    for difference in &unaccounted {
        eprintln!("not accounted for: {difference}");
    }
    let unused = table.iter().filter(|(number, _)| !used.contains(number));
    let unused: Vec<&(usize, String)> = unused.collect();
    for (number, pattern) in &unused {
        eprintln!("line {number} accounts for nothing: {pattern}");
    }
    assert!(unaccounted.is_empty() && unused.is_empty());
}

#[test]
fn a_pattern_is_matched_from_end_to_end() {
    assert!(is_like("*: - a[*].b = c", "x: - a[1].b = c"));
    assert!(is_like("a*", "a"));
    assert!(!is_like("a*b", "abc"));
    assert!(is_like("*: ? a", "x: - a") && is_like("*: ? a", "x: + a"));
    assert!(!is_like("a", "ab"));
}
