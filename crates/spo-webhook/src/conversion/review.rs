//! Pure. A ConversionReview of `apiextensions.k8s.io/v1` and its answer.
//!
//! A list of thousands of objects comes as one review. So that it is in memory only once as text
//! and once as an answer, each object is parsed, converted and written by itself.

use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Value, json};
use spo_process::chain::chain;

/// What is sent back.
#[derive(Debug)]
pub struct Answer {
    /// A ConversionReview with a response.
    pub body: Vec<u8>,
    /// Why the review failed, if it did.
    pub failure: Option<String>,
}

/// Bytes that are no review: an answer could not say to what.
#[derive(Debug, thiserror::Error)]
pub enum BadReview {
    /// Not JSON, or of another shape.
    #[error("the body is not a ConversionReview")]
    Shape(#[source] serde_json::Error),
    /// Another kind, or another version of it.
    #[error("the body is a {kind} of {api_version}, not a {KIND} of {API_VERSION}")]
    Kind {
        /// As it was sent.
        api_version: String,
        /// As it was sent.
        kind: String,
    },
    /// A review that asks nothing.
    #[error("the ConversionReview has no request")]
    NoRequest,
}

const API_VERSION: &str = "apiextensions.k8s.io/v1";
const KIND: &str = "ConversionReview";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<HeadOfRequest>,
}

#[derive(Deserialize)]
struct HeadOfRequest {
    uid: String,
    #[serde(rename = "desiredAPIVersion")]
    desired: String,
}

/// Answers a review. One object that can not be converted fails all: the answer has as many objects
/// as the question, or none.
pub fn review(body: &[u8]) -> Result<Answer, BadReview> {
    // The objects may come before the version which is asked for.
    let Head {
        api_version,
        kind,
        request,
    } = serde_json::from_slice(body).map_err(BadReview::Shape)?;
    if (api_version.as_str(), kind.as_str()) != (API_VERSION, KIND) {
        return Err(BadReview::Kind { api_version, kind });
    }
    let HeadOfRequest { uid, desired } = request.ok_or(BadReview::NoRequest)?;

    let mut written = Written::new(&uid, body.len());
    let objects = Objects {
        desired: &desired,
        written: &mut written,
    };
    let objects = Member("request", Member("objects", objects));
    match objects.deserialize(&mut serde_json::Deserializer::from_slice(body)) {
        Ok(_found) => Ok(written.finish()),
        Err(error) => match written.failure {
            Some(failure) => Ok(failed(&uid, failure)),
            None => Err(BadReview::Shape(error)),
        },
    }
}

/// Converts one object. The only place here that knows how.
fn convert_one(object: Value, desired: &str) -> Result<Value, String> {
    spo_api::convert::convert(object, desired).map_err(|error| chain(&error))
}

/// The answer as far as it is written.
struct Written {
    body: Vec<u8>,
    objects: usize,
    failure: Option<String>,
}

impl Written {
    fn new(uid: &str, length: usize) -> Self {
        let start = format!(
            r#"{{"apiVersion":"{API_VERSION}","kind":"{KIND}","response":{{"uid":{},"convertedObjects":["#,
            json!(uid)
        );
        let mut body = Vec::with_capacity(start.len() + length);
        body.extend_from_slice(start.as_bytes());
        Self {
            body,
            objects: 0,
            failure: None,
        }
    }

    fn push(&mut self, object: Value, desired: &str) -> Result<(), String> {
        let name = name(&object);
        let object = convert_one(object, desired)
            .map_err(|error| format!("cannot convert {name} to {desired}: {error}"))?;
        if self.objects > 0 {
            self.body.push(b',');
        }
        self.objects += 1;
        serde_json::to_writer(&mut self.body, &object)
            .map_err(|error| format!("cannot write {name} as {desired}: {error}"))
    }

    fn finish(mut self) -> Answer {
        self.body
            .extend_from_slice(br#"],"result":{"metadata":{},"status":"Success"}}}"#);
        Answer {
            body: self.body,
            failure: None,
        }
    }
}

fn failed(uid: &str, failure: String) -> Answer {
    let review = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "response": {
            "uid": uid,
            "convertedObjects": [],
            "result": {"metadata": {}, "status": "Failure", "message": failure},
        },
    });
    Answer {
        body: review.to_string().into_bytes(),
        failure: Some(failure),
    }
}

/// Kind and name of an object, for people.
fn name(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or("object without kind");
    let name = text("/metadata/name").unwrap_or("without name");
    match text("/metadata/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// Takes the value of one member of an object to a seed. Whether there was one is the result.
struct Member<S>(&'static str, S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Member<S> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Member<S> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let Self(name, seed) = self;
        let mut seed = Some(seed);
        while let Some(key) = map.next_key::<String>()? {
            if key != name {
                let IgnoredAny = map.next_value()?;
                continue;
            }
            let seed = seed.take().ok_or_else(|| A::Error::duplicate_field(name))?;
            map.next_value_seed(seed)?;
        }
        Ok(seed.is_none())
    }
}

/// Converts and writes each object of a list.
struct Objects<'a> {
    desired: &'a str,
    written: &'a mut Written,
}

impl<'de> DeserializeSeed<'de> for Objects<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Objects<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of objects")
    }

    /// Go writes a list without elements as `null`.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<(), A::Error> {
        while let Some(object) = objects.next_element::<Value>()? {
            if let Err(failure) = self.written.push(object, self.desired) {
                self.written.failure = Some(failure);
                return Err(A::Error::custom("an object can not be converted"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "security-profiles-operator.x-k8s.io/v1";

    fn question(objects: &Value) -> String {
        json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "request": {"uid": "u-\"1\"", "objects": objects, "desiredAPIVersion": V1},
        })
        .to_string()
    }

    fn answer(question: &str) -> Value {
        let answer = review(question.as_bytes()).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["apiVersion"], API_VERSION);
        assert_eq!(body["kind"], KIND);
        assert_eq!(body["response"]["uid"], "u-\"1\"");
        let message = body["response"]["result"]["message"].as_str();
        assert_eq!(message, answer.failure.as_deref());
        body["response"].clone()
    }

    fn object(name: &str, version: &str) -> Value {
        json!({
            "apiVersion": version,
            "kind": "SeccompProfile",
            "metadata": {"name": name, "uid": name},
            "spec": {"defaultAction": "SCMP_ACT_ALLOW"},
        })
    }

    #[test]
    fn order_and_number_are_kept() {
        let objects = Value::from_iter(["b", "a", "c"].map(|name| object(name, V1)));
        let response = answer(&question(&objects));
        assert_eq!(response["convertedObjects"], objects);
        assert_eq!(response["result"]["status"], "Success");
        for none in [json!([]), Value::Null] {
            assert_eq!(answer(&question(&none))["convertedObjects"], json!([]));
        }
    }

    #[test]
    fn old_versions_are_converted() {
        let old = "security-profiles-operator.x-k8s.io/v1alpha1";
        let recording = json!({
            "apiVersion": old,
            "kind": "ProfileRecording",
            "metadata": {"name": "r", "namespace": "ns"},
            "spec": {"recorder": "logs"},
        });
        let response = answer(&question(&json!([recording])));
        let converted = &response["convertedObjects"][0];
        assert_eq!(converted["apiVersion"], V1);
        assert_eq!(converted["spec"]["recorder"], "Logs");
        let mut back: Value = serde_json::from_str(&question(&json!([converted]))).unwrap();
        back["request"]["desiredAPIVersion"] = json!(old);
        let back = answer(&back.to_string());
        assert_eq!(back["convertedObjects"][0]["spec"]["recorder"], "logs");
    }

    #[test]
    fn one_object_fails_all_and_is_named() {
        let bad = object("bad", "security-profiles-operator.x-k8s.io/v9");
        let response = answer(&question(&json!([
            object("good", V1),
            bad,
            object("x", V1)
        ])));
        assert_eq!(response["convertedObjects"], json!([]));
        assert_eq!(response["result"]["status"], "Failure");
        let message = response["result"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("cannot convert SeccompProfile bad to security-"),
            "{message}"
        );
        let response = answer(&question(&json!([7])));
        assert_eq!(response["result"]["status"], "Failure");
    }

    #[test]
    fn what_is_no_review_is_refused() {
        let check = |body: &str, expected: &str| {
            let error = review(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{body}: {error}");
        };
        check("", "not a ConversionReview");
        check("[]", "not a ConversionReview");
        check(r#"{"kind":1}"#, "not a ConversionReview");
        check("{}", "the body is a  of ");
        let admission = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#;
        check(
            admission,
            "the body is a AdmissionReview of admission.k8s.io/v1",
        );
        let empty = json!({"apiVersion": API_VERSION, "kind": KIND});
        check(&empty.to_string(), "has no request");
        let asked = question(&json!([]));
        check(
            &asked.replace("\"uid\"", "\"id\""),
            "not a ConversionReview",
        );
        check(&asked.replace("[]", "{}"), "not a ConversionReview");
        check(&asked.replace("[]", "[{]"), "not a ConversionReview");
        check(&format!("{asked}}}"), "not a ConversionReview");
    }
}
