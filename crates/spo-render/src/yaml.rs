//! Objects as one YAML text of several documents.

use std::fmt::Write as _;

use serde_json::Value;

/// The objects as YAML documents, in the order in which they are given: `render` gives the one in
/// which they must be applied.
pub fn to_yaml(objects: &[Value]) -> String {
    let mut text = String::new();
    for object in objects {
        let document = serde_saphyr::to_string(object).expect("a JSON value is a YAML document");
        let separator = if text.is_empty() { "" } else { "---\n" };
        write!(text, "{separator}{document}").expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_looks_like_something_else_stays_text() {
        let objects = [
            json!({"a": "true", "b": "0", "c": "100%", "d": "*", "e": "", "f": "1e3", "g": ".*"}),
            json!({"a": true, "b": 0, "c": {}, "d": [], "e": "x\ny\n", "f": "---", "g": "a: b"}),
        ];
        let parsed: Vec<Value> = serde_saphyr::from_multiple(&to_yaml(&objects)).unwrap();
        assert_eq!(parsed, objects);
    }
}
