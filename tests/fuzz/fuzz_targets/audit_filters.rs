//! Foreign text as filters: what is taken decides, a rule that asks for nothing changes nothing,
//! and of two rules with one priority the first decides.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spo_audit::filter::{Fields, Filters, Value, Verdict};
use spo_audit::text::Text;

struct Sample;

impl Fields for Sample {
    fn field(&self, key: &str) -> Option<Value<'_>> {
        match key {
            "type" => Some(Value::Text(Text::from("seccomp"))),
            "syscallID" => Some(Value::Number(50)),
            "syscalls" => Some(Value::List(&["clone", "execve"])),
            "resource" => Some(Value::Object(&Sample)),
            "nothing" => Some(Value::Null),
            _ => None,
        }
    }
}

fuzz_target!(|text: &str| {
    let Ok((filters, notices)) = Filters::parse(text) else {
        return;
    };
    let verdict = filters.decide(&Sample);
    assert!(
        notices
            .iter()
            .all(|notice| !notice.to_string().contains('\n'))
    );
    if text.trim().is_empty() || text.trim() == "null" {
        assert_eq!(verdict, Verdict::Emit);
        return;
    }
    let rules = text.trim().trim_start_matches('[').trim_start();
    let comma = if rules.starts_with(']') { "" } else { "," };
    let lowest = i64::MIN;
    for (rule, expected) in [
        ("{\"level\":\"None\"}".to_owned(), verdict),
        (
            format!("{{\"priority\":{lowest},\"level\":\"None\",\"matchKeys\":[\"type\"]}}"),
            Verdict::Drop,
        ),
        (
            format!("{{\"priority\":{lowest},\"matchKeys\":[\"nothing\",\"x\"]}}"),
            Verdict::Emit,
        ),
    ] {
        let text = format!("[{rule}{comma}{rules}");
        if let Ok((filters, _)) = Filters::parse(&text) {
            assert_eq!(filters.decide(&Sample), expected, "{text}");
        }
    }
});
