//! Pure. An AdmissionReview of `admission.k8s.io`, v1 or v1beta1, and its answer in the same version.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decision::Decision;
use crate::http::Outcome;

/// What is asked about: the parts that a decision of ours reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Of the request; the answer repeats it.
    pub uid: String,
    /// Of the object.
    #[serde(default)]
    pub kind: Kind,
    /// What the request was sent to.
    #[serde(default)]
    pub resource: Resource,
    /// Such as `exec`; empty for the object itself.
    #[serde(default)]
    pub sub_resource: String,
    /// Of the object; empty if the API server is to make one up.
    #[serde(default)]
    pub name: String,
    /// Of the object; empty if it is in none.
    #[serde(default)]
    pub namespace: String,
    /// What is to happen.
    pub operation: Verb,
    /// The object as it is to be, null if it goes.
    #[serde(default)]
    pub object: Value,
    /// The object as it is, null if it is new.
    #[serde(default)]
    pub old_object: Value,
}

/// The kind of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kind {
    /// The API group, empty for core.
    pub group: String,
    /// Such as `v1`.
    pub version: String,
    /// Such as `Pod`.
    pub kind: String,
}

/// A resource of the API.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resource {
    /// The API group, empty for core.
    pub group: String,
    /// Such as `v1`.
    pub version: String,
    /// Such as `pods`.
    pub resource: String,
}

/// What is to happen to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    /// It is new.
    Create,
    /// It changes.
    Update,
    /// It goes.
    Delete,
    /// Somebody opens a stream to it.
    Connect,
}

/// What is sent back.
#[derive(Debug)]
pub struct Answer {
    /// An AdmissionReview with a response.
    pub body: Vec<u8>,
    pub(crate) outcome: Outcome,
    /// What the user is warned of, for our log.
    pub(crate) warned: Option<Warned>,
}

/// Warnings, and about what.
#[derive(Debug)]
pub(crate) struct Warned {
    pub(crate) namespace: String,
    /// The name, or where a name is still to be made up the start of it.
    pub(crate) name: String,
    pub(crate) warnings: Vec<String>,
}

/// Bytes that are no review: an answer could not say to what.
#[derive(Debug, thiserror::Error)]
pub enum BadReview {
    /// Not JSON, or of another shape.
    #[error("the body is not an AdmissionReview")]
    Shape(#[source] serde_json::Error),
    /// Another kind, or another version of it.
    #[error("the body is a {kind} of {api_version}, not an AdmissionReview of {V1} or {V1BETA1}")]
    Kind {
        /// As it was sent.
        api_version: String,
        /// As it was sent.
        kind: String,
    },
    /// A review that asks nothing.
    #[error("the AdmissionReview has no request")]
    NoRequest,
    /// The answer is no JSON.
    #[error("cannot write the answer")]
    Answer(#[source] serde_json::Error),
}

const V1: &str = "admission.k8s.io/v1";
const V1BETA1: &str = "admission.k8s.io/v1beta1";
const KIND: &str = "AdmissionReview";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<Request>,
}

/// Answers a review as `decide` says.
pub fn review(body: &[u8], decide: impl FnOnce(&Request) -> Decision) -> Result<Answer, BadReview> {
    let Question {
        api_version,
        kind,
        request,
    } = serde_json::from_slice(body).map_err(BadReview::Shape)?;
    if kind != KIND || ![V1, V1BETA1].contains(&api_version.as_str()) {
        return Err(BadReview::Kind { api_version, kind });
    }
    let request = request.ok_or(BadReview::NoRequest)?;
    let (response, outcome) = response(&request.uid, decide(&request))?;
    let warned = (!response.warnings.is_empty()).then(|| Warned {
        namespace: request.namespace.clone(),
        name: name(&request).to_owned(),
        warnings: response.warnings.clone(),
    });
    let review = AnswerReview {
        api_version: &api_version,
        kind: KIND,
        response,
    };
    let body = serde_json::to_vec(&review).map_err(BadReview::Answer)?;
    Ok(Answer {
        body,
        outcome,
        warned,
    })
}

fn name(request: &Request) -> &str {
    let start = request.object.pointer("/metadata/generateName");
    match request.name.as_str() {
        "" => start.and_then(Value::as_str).unwrap_or_default(),
        name => name,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerReview<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Status {
    metadata: BTreeMap<String, String>,
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

fn response(uid: &str, decision: Decision) -> Result<(Response<'_>, Outcome), BadReview> {
    let status = |code: u16, message| Status {
        metadata: BTreeMap::new(),
        code,
        reason: (code == 403).then_some("Forbidden"),
        message,
    };
    let mut response = Response {
        uid,
        allowed: true,
        status: status(200, String::new()),
        patch: None,
        patch_type: None,
        audit_annotations: BTreeMap::new(),
        warnings: Vec::new(),
    };
    let outcome = match decision {
        Decision::Allow { message, warnings } => {
            response.status.message = message;
            response.warnings = warnings;
            "allowed"
        }
        Decision::Patch {
            operations,
            message,
            audit_annotations,
            warnings,
        } => {
            response.status.message = message;
            response.audit_annotations = audit_annotations;
            response.warnings = warnings;
            if operations.is_empty() {
                "allowed"
            } else {
                let patch = serde_json::to_vec(&operations).map_err(BadReview::Answer)?;
                response.patch = Some(ByteString(patch));
                response.patch_type = Some("JSONPatch");
                "patched"
            }
        }
        Decision::Deny { code, message } => {
            response.allowed = false;
            response.status = status(code, message);
            match code {
                500.. => "error",
                _ => "denied",
            }
        }
    };
    Ok((response, Outcome(outcome)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::decision::Operation;
    use super::*;

    fn question(version: &str) -> Value {
        json!({
            "apiVersion": version,
            "kind": KIND,
            "request": {
                "uid": "u1",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "operation": "CREATE",
                "userInfo": {},
                "object": {"metadata": {"name": "p"}},
                "oldObject": null,
            },
        })
    }

    fn answer(version: &str, decision: Decision) -> Value {
        let question = question(version).to_string();
        let answer = review(question.as_bytes(), |request| {
            assert_eq!(request.operation, Verb::Create);
            assert_eq!(request.kind.kind, "Pod");
            assert_eq!(request.object["metadata"]["name"], "p");
            assert!(request.old_object.is_null());
            decision
        });
        serde_json::from_slice(&answer.unwrap().body).unwrap()
    }

    #[test]
    fn the_answer_is_in_the_version_of_the_question() {
        for version in [V1, V1BETA1] {
            let expected = json!({
                "apiVersion": version,
                "kind": "AdmissionReview",
                "response": {
                    "uid": "u1",
                    "allowed": true,
                    "status": {"metadata": {}, "code": 200, "message": "pod unchanged"},
                },
            });
            assert_eq!(answer(version, Decision::allow("pod unchanged")), expected);
        }
    }

    fn patch(operations: Vec<Operation>) -> Value {
        let decision = Decision::Patch {
            operations,
            message: "done".to_owned(),
            audit_annotations: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            warnings: vec!["careful".to_owned()],
        };
        answer(V1, decision)["response"].clone()
    }

    #[test]
    fn a_patch_is_base64_and_has_its_type() {
        let mut expected = json!({
            "uid": "u1",
            "allowed": true,
            "status": {"metadata": {}, "code": 200, "message": "done"},
            "auditAnnotations": {"k": "v"},
            "warnings": ["careful"],
        });
        assert_eq!(patch(Vec::new()), expected);
        let path = "/a".to_owned();
        let operations = vec![
            Operation::Add {
                path: path.clone(),
                value: json!([1]),
            },
            Operation::Remove { path },
        ];
        let text = r#"[{"op":"add","path":"/a","value":[1]},{"op":"remove","path":"/a"}]"#;
        expected["patch"] = serde_json::to_value(ByteString(text.into())).unwrap();
        expected["patchType"] = json!("JSONPatch");
        assert!(expected["patch"].as_str().unwrap().starts_with("W3sib3Ai"));
        assert_eq!(patch(operations), expected);
    }

    #[test]
    fn denials_say_why() {
        let check = |code, expected: Value| {
            let message = "no".to_owned();
            let answer = answer(V1, Decision::Deny { code, message });
            assert_eq!(answer["response"]["allowed"], false);
            assert_eq!(answer["response"]["status"], expected);
        };
        check(400, json!({"metadata": {}, "code": 400, "message": "no"}));
        check(500, json!({"metadata": {}, "code": 500, "message": "no"}));
        let forbidden =
            json!({"metadata": {}, "code": 403, "reason": "Forbidden", "message": "no"});
        check(403, forbidden);
    }

    #[test]
    fn what_is_no_review_is_refused() {
        let check = |body: &str, expected: &str| {
            let error = review(body.as_bytes(), |_| Decision::allow("")).unwrap_err();
            assert!(error.to_string().contains(expected), "{body}: {error}");
        };
        check("", "not an AdmissionReview");
        check("[]", "not an AdmissionReview");
        check("{}", "the body is a  of");
        let asked = question(V1).to_string();
        check(&asked.replace("CREATE", "MAKE"), "not an AdmissionReview");
        check(
            &asked.replace("\"uid\"", "\"id\""),
            "not an AdmissionReview",
        );
        check(
            &asked.replace(KIND, "ConversionReview"),
            "a ConversionReview of",
        );
        check(
            &asked.replace(V1, "admission.k8s.io/v2"),
            "of admission.k8s.io/v2",
        );
        check(&asked.replace("\"request\"", "\"r\""), "has no request");
    }
}
