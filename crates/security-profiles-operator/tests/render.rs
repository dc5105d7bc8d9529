//! `security-profiles-operator render`, as a user calls it.

#![expect(
    clippy::unwrap_used,
    reason = "also in the helpers a failed unwrap is a failed test"
)]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs it with a SPOD on standard input, if one is given.
fn render(arguments: &[&str], spod: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_security-profiles-operator"));
    command.env_clear().arg("render").args(arguments);
    if spod.is_some() {
        command.args(["--spod", "-"]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(spod.unwrap_or_default().as_bytes())
        .unwrap();
    drop(input);
    child.wait_with_output().unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    serde_saphyr::from_multiple(std::str::from_utf8(&output.stdout).unwrap()).unwrap()
}

fn find<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind)
}

#[test]
fn without_a_file_it_is_the_default_one() {
    let output = render(
        &[
            "--namespace",
            "elsewhere",
            "--image",
            "registry.example/spo:1",
        ],
        None,
    );
    let objects = objects(&output);
    let daemon = find(&objects, "DaemonSet").unwrap();
    assert_eq!(daemon["metadata"]["namespace"], "elsewhere");
    let containers = &daemon["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[0]["image"], "registry.example/spo:1");
    assert!(find(&objects, "Certificate").is_none());
}

#[test]
fn a_spod_of_release_0_10_is_understood_and_its_old_names_are_told() {
    let spod = "
apiVersion: v1
kind: ConfigMap
metadata: {name: not-this-one}
---
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: SecurityProfilesOperatorDaemon
metadata: {name: spod, namespace: spo}
spec: {priorityClassName: mine, staticWebhookConfig: true, enableLogEnricher: true}
";
    let output = render(&[], Some(spod));
    let objects = objects(&output);
    let daemon = find(&objects, "DaemonSet").unwrap();
    assert_eq!(daemon["metadata"]["namespace"], "spo");
    assert_eq!(
        daemon["spec"]["template"]["spec"]["priorityClassName"],
        "mine"
    );
    assert!(find(&objects, "MutatingWebhookConfiguration").is_none());
    let notes = String::from_utf8(output.stderr).unwrap();
    for expected in [
        "note: spec.priorityClassName is taken as spec.scheduling.priorityClassName",
        "note: spec.staticWebhookConfig is taken as spec.webhook.staticConfig",
        "enricher.enableLogEnricher: ",
    ] {
        assert!(notes.contains(expected), "{expected:?} is not in {notes}");
    }
}

#[test]
fn platforms_and_providers_differ() {
    for (arguments, issuer, annotation) in [
        (
            &["--platform", "openshift"][..],
            false,
            Some("service.beta.openshift.io/inject-cabundle"),
        ),
        (
            &["--certificate-provider", "cert-manager"][..],
            true,
            Some("cert-manager.io/inject-ca-from"),
        ),
        (&["--service-monitors"][..], false, None),
    ] {
        let objects = objects(&render(arguments, None));
        assert_eq!(find(&objects, "Issuer").is_some(), issuer, "{arguments:?}");
        let webhooks = find(&objects, "MutatingWebhookConfiguration").unwrap();
        if let Some(annotation) = annotation {
            let found = &webhooks["metadata"]["annotations"][annotation];
            assert!(found.is_string(), "{arguments:?}: {webhooks}");
        }
        let monitors = arguments.contains(&"--service-monitors");
        assert_eq!(
            find(&objects, "ServiceMonitor").is_some(),
            monitors,
            "{arguments:?}"
        );
    }
}

#[test]
fn what_can_not_be_read_is_an_error_that_says_why() {
    for (text, expected) in [
        ("a: [", "is not YAML"),
        ("kind: Pod", "holds no SecurityProfilesOperatorDaemon"),
        (
            "{apiVersion: security-profiles-operator.x-k8s.io/v1, kind: \
             SecurityProfilesOperatorDaemon, spec: {verbosity: much}}",
            "spec of the SPOD can not be read",
        ),
        (
            "{apiVersion: security-profiles-operator.x-k8s.io/v7, kind: \
             SecurityProfilesOperatorDaemon}",
            "cannot bring the SPOD to the version v1",
        ),
    ] {
        let output = render(&[], Some(text));
        assert_eq!(output.status.code(), Some(1), "{text}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(told.contains(expected), "{text}: {told}");
    }
}
