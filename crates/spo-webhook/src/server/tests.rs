//! Every path, through the router.

use axum::body::{Body, to_bytes};
use kube::runtime::watcher::Event;
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::cache::{Binding, Seen};

struct Server {
    router: Router,
    cache: Arc<RwLock<Cache>>,
    registry: Registry,
}

fn server() -> Server {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    let cache = Arc::new(RwLock::new(Cache::new("spod")));
    Server {
        router: router(&cache, &metrics),
        cache,
        registry,
    }
}

impl Server {
    fn sync(&self) {
        let mut cache = self.cache.write().unwrap();
        for seen in Seen::all_listed() {
            cache.observe(seen);
        }
    }

    async fn send(&self, path: &str, kind: &str, body: impl Into<Body>) -> (StatusCode, String) {
        let request = Request::post(path).header("content-type", kind);
        let request = request.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.into()).unwrap())
    }

    /// The `response` of the answer to a review.
    async fn ask(&self, path: &str, review: &Value) -> Value {
        let (status, body) = self
            .send(path, "application/json", review.to_string())
            .await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["apiVersion"], review["apiVersion"]);
        assert_eq!(answer["kind"], review["kind"]);
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        answer["response"].take()
    }

    #[track_caller]
    fn assert_counted(&self, path: &str, outcome: &str, expected: u32) {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        let text = text.unwrap();
        let labels = format!("{{outcome=\"{outcome}\",path=\"{path}\"}} {expected}\n");
        for family in ["requests_total", "request_duration_seconds_count"] {
            let line = format!("security_profiles_operator_webhook_{family}{labels}");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}

const PATHS: [&str; 5] = [
    "/convert",
    "/mutate-v1-pod-binding",
    "/mutate-v1-pod-recording",
    "/mutate-v1-exec-metadata",
    "/validate-rawselinuxprofile",
];

fn admission_review(version: &str, kind: &str, object: &Value) -> Value {
    json!({
        "apiVersion": format!("admission.k8s.io/{version}"),
        "kind": "AdmissionReview",
        "request": {
            "uid": "u1",
            "kind": {"kind": kind},
            "resource": {"resource": "pods"},
            "operation": "CREATE",
            "object": object,
        },
    })
}

fn conversion_review(objects: &[Value]) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "request": {
            "uid": "u1",
            "desiredAPIVersion": "security-profiles-operator.x-k8s.io/v1",
            "objects": objects,
        },
    })
}

#[tokio::test]
async fn pods_pass_unchanged_in_both_versions() {
    let server = server();
    server.sync();
    for path in &PATHS[1..3] {
        for version in ["v1", "v1beta1"] {
            let review = admission_review(version, "Pod", &json!({"spec": {}}));
            let response = server.ask(path, &review).await;
            assert_eq!(response["allowed"], true);
            assert_eq!(response["status"]["message"], "pod unchanged");
            assert_eq!(response["status"]["code"], 200);
        }
        server.assert_counted(path, "allowed", 2);
    }
    let mut review = admission_review("v1", "Pod", &json!({"spec": {}}));
    review["request"]["operation"] = json!("UPDATE");
    let response = server.ask(PATHS[1], &review).await;
    let text = "pod update, skipping mutation";
    assert_eq!(response["status"]["message"], text);
}

#[tokio::test]
async fn what_is_not_bound_is_counted() {
    let server = server();
    let path = PATHS[1];
    let mut review = admission_review("v1", "Pod", &json!({"spec": {}}));
    review["request"]["namespace"] = json!("n");
    let response = server.ask(path, &review).await;
    assert_eq!(response["status"]["code"], 500);
    server.sync();
    let unreadable = Binding {
        namespace: "n".to_owned(),
        name: "b".to_owned(),
        rule: Some(Err("odd".to_owned())),
    };
    let seen = Seen::Binding(Event::Apply(unreadable));
    server.cache.write().unwrap().observe(seen);
    let response = server.ask(path, &review).await;
    let warning = "ProfileBinding \"b\" is skipped: odd";
    assert_eq!(response["warnings"], json!([warning]));
    let text = TextEncoder::new().encode_to_string(&server.registry.gather());
    let family = "security_profiles_operator_webhook_warnings_total";
    let line = format!("{family}{{path=\"{path}\"}} 1\n");
    assert!(text.unwrap().contains(&line));
}

#[tokio::test]
async fn a_session_is_marked_before_the_cluster_is_known() {
    let server = server();
    let path = "/mutate-v1-exec-metadata";
    let review = admission_review("v1beta1", "PodExecOptions", &json!({"command": ["sh"]}));
    let response = server.ask(path, &review).await;
    assert_eq!(response["allowed"], true);
    assert_eq!(response["patchType"], "JSONPatch");
    assert_eq!(response["auditAnnotations"]["SPO_EXEC_REQUEST_UID"], "u1");
    server.assert_counted(path, "patched", 1);
}

#[tokio::test]
async fn raw_policies_are_judged_when_the_cluster_is_known() {
    let server = server();
    let path = "/validate-rawselinuxprofile";
    let ask = async |policy: &str| {
        let object = json!({
            "apiVersion": "security-profiles-operator.x-k8s.io/v1alpha2",
            "metadata": {"name": "mine"},
            "spec": {"policy": policy},
        });
        let review = admission_review("v1", "RawSelinuxProfile", &object);
        let response = server.ask(path, &review).await;
        let status = &response["status"];
        assert_eq!(response["allowed"], status["code"] == 200);
        (status["code"].as_u64().unwrap(), status["message"].clone())
    };
    let (code, message) = ask("(blockinherit container)").await;
    assert_eq!(code, 500);
    assert!(message.as_str().unwrap().contains("try again"), "{message}");
    server.sync();
    assert_eq!(ask("(blockinherit container)").await, (200, Value::Null));
    let text = "invalid policy: unbalanced parentheses";
    assert_eq!(ask("(type x").await, (403, json!(text)));
    // A policy of the greatest size is judged beside the asynchronous workers.
    let long = "(type x)".repeat(500_000 / 8);
    assert_eq!(ask(&long).await, (200, Value::Null));
    for (outcome, expected) in [("error", 1), ("allowed", 2), ("denied", 1)] {
        server.assert_counted(path, outcome, expected);
    }
}

#[tokio::test]
async fn objects_are_converted_as_they_came() {
    let server = server();
    let objects: Vec<Value> = (0..5000)
        .map(|number| {
            json!({
                "apiVersion": "security-profiles-operator.x-k8s.io/v1",
                "kind": "SeccompProfile",
                "metadata": {"name": format!("p{number}"), "namespace": "ns"},
                "spec": {"defaultAction": "SCMP_ACT_LOG"},
            })
        })
        .collect();
    let response = server.ask("/convert", &conversion_review(&objects)).await;
    assert_eq!(response["result"]["status"], "Success");
    assert_eq!(response["convertedObjects"], json!(objects));
    server.assert_counted("/convert", "converted", 1);

    let mut foreign = objects[1].clone();
    foreign["apiVersion"] = json!("security-profiles-operator.x-k8s.io/v0");
    let review = conversion_review(&[objects[0].clone(), foreign]);
    let response = server.ask("/convert", &review).await;
    assert_eq!(response["result"]["status"], "Failure");
    let message = response["result"]["message"].as_str().unwrap();
    assert!(message.contains("SeccompProfile ns/p1"), "{message}");
    server.assert_counted("/convert", "failed", 1);
}

#[tokio::test]
async fn what_is_no_review_is_a_bad_request() {
    let server = server();
    let no_request = |path| match path {
        "/convert" => json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview"}),
        _ => json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}),
    };
    for path in PATHS {
        let no_request = no_request(path).to_string();
        for (kind, body, expected) in [
            ("text/plain", "{}", "must be application/json"),
            ("application/json", "{", "the body is not a"),
            ("application/json", "\"\u{0}\"", "the body is not a"),
            (
                "application/json; charset=utf-8",
                &no_request,
                "has no request",
            ),
        ] {
            let (status, text) = server.send(path, kind, body.to_owned()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
            assert!(text.contains(expected), "{path} {text}");
        }
        server.assert_counted(path, "bad_request", 4);
    }
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let server = server();
    for path in PATHS {
        let limit = if path == "/convert" { 16 } else { 7 } << 20;
        let body = vec![b' '; limit + 1];
        let (status, _) = server.send(path, "application/json", body).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        // Without a declared length, too.
        let pieces = [vec![b' '; limit / 2 + 1], vec![b' '; limit / 2]];
        let pieces = pieces.map(Ok::<_, std::io::Error>);
        let body = Body::from_stream(futures::stream::iter(pieces));
        let (status, _) = server.send(path, "application/json", body).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        let body = vec![b' '; limit];
        let (status, _) = server.send(path, "application/json", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        server.assert_counted(path, "bad_request", 3);
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_not_served() {
    let server = server();
    let (status, _) = server.send("/", "application/json", "{}").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let get = Request::get("/convert").body(Body::empty()).unwrap();
    let response = server.router.clone().oneshot(get).await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}
