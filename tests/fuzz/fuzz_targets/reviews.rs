//! Foreign bytes as reviews: an answer is a review that repeats the request's uid, and has as many
//! objects as the request or none. A raw policy that passes also passes with a comment after it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use spo_profile::selinux::raw;
use spo_webhook::admission::review::review;
use spo_webhook::admission::{WEBHOOKS, exec_metadata, raw_selinux};
use spo_webhook::cache::Cache;
use spo_webhook::conversion;

fn objects(value: &Value) -> Option<usize> {
    Some(value.as_array()?.len())
}

/// The request as a value. There is none if a part that nobody reads is no JSON: such a part is
/// skipped without a look at its encoding.
fn asked(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let answer = conversion::review(bytes).ok();
    if let Some((answer, asked)) = answer.zip(asked(bytes)) {
        let said: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
        let (request, response) = (&asked["request"], &said["response"]);
        assert_eq!(request["uid"], response["uid"]);
        let expected = match &answer.failure {
            Some(_) => 0,
            None => objects(&request["objects"]).unwrap_or_default(),
        };
        assert_eq!(objects(&response["convertedObjects"]), Some(expected));
    }

    let cache = Cache::new("spod");
    for webhook in &WEBHOOKS {
        let answer = review(bytes, |request| webhook.decide.decide(request, &cache));
        check_answer(bytes, answer.map(|answer| answer.body).ok());
    }
    let decides = [
        |request: &_, _: &Cache| exec_metadata::decide(request),
        raw_selinux::decide,
    ];
    for decide in decides {
        let answer = review(bytes, |request| decide(request, &cache));
        check_answer(bytes, answer.map(|answer| answer.body).ok());
    }

    if let Ok(policy) = std::str::from_utf8(bytes) {
        let passes = |policy: &str| raw::check(policy, &|name| name == "container").is_ok();
        if passes(policy) {
            assert!(passes(&format!("{policy}\n; )\n")));
            assert!(!passes(&format!("{policy}\n)\n")));
        }
    }
});

fn check_answer(bytes: &[u8], body: Option<Vec<u8>>) {
    let Some((body, asked)) = body.zip(asked(bytes)) else {
        return;
    };
    let said: Value = serde_json::from_slice(&body).expect("an answer is JSON");
    assert_eq!(asked["request"]["uid"], said["response"]["uid"]);
    assert_eq!(asked["apiVersion"], said["apiVersion"]);
    assert_eq!(
        said["response"]["patch"].is_null(),
        said["response"]["patchType"].is_null()
    );
}
