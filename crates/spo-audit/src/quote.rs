//! Foreign text inside double quotes, such that it can neither end them nor start a line.

use std::fmt::Write as _;

/// Appends text in quotes as klog does: Go's `strconv.Quote`.
pub(crate) fn for_log(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            ' '..='~' => out.push(char),
            '\0'..='\u{7f}' => escape(out, format_args!("\\x{:02x}", u32::from(char))),
            // Rust escapes what is not printable; Go does the same in other letters.
            char if char.escape_debug().len() == 1 => out.push(char),
            '\u{80}'..='\u{ffff}' => escape(out, format_args!("\\u{:04x}", u32::from(char))),
            char => escape(out, format_args!("\\U{:08x}", u32::from(char))),
        }
    }
    out.push('"');
}

/// Appends a JSON string as Go writes it: what HTML gives a meaning is escaped too.
pub(crate) fn for_json(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                escape(out, format_args!("\\u{:04x}", u32::from(char)));
            }
            char => out.push(char),
        }
    }
    out.push('"');
}

/// Appends a number.
pub(crate) fn number(out: &mut String, number: u64) {
    escape(out, format_args!("{number}"));
}

fn escape(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String can not fail.
    let _infallible = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_one_line_a_record() {
        for (text, expected) in [
            ("plain /usr/bin/ü", r#""plain /usr/bin/ü""#),
            ("a\nI0705 forged\r\t", r#""a\nI0705 forged\r\t""#),
            ("say \"hi\"\\", r#""say \"hi\"\\""#),
            ("\0\u{1b}[31m\u{7f}", r#""\x00\x1b[31m\x7f""#),
            (
                "\u{85}\u{202e}\u{2028}\u{e0001}",
                r#""\u0085\u202e\u2028\U000e0001""#,
            ),
        ] {
            let mut out = String::new();
            for_log(&mut out, text);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn json_is_safe_in_html() {
        let mut out = String::new();
        for_json(&mut out, "<a & \"b\">\u{2028}\u{0}\n\\ü");
        assert_eq!(out, r#""\u003ca \u0026 \"b\"\u003e\u2028\u0000\n\\ü""#);
        assert_eq!(
            serde_json::from_str::<String>(&out).unwrap(),
            "<a & \"b\">\u{2028}\u{0}\n\\ü"
        );
    }
}
