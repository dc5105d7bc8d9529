//! The log: klog's text format on standard error, as the contract asks (02, 1.9).
//!
//! `I1121 02:10:11.123456    4242 controller.rs:88] "profile written" path="…" bytes=412`

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Installs the subscriber. `verbosity` 0 shows info and above, 1 debug, 2 and more trace, all of
/// our own crates only; `filter` (the variable `RUST_LOG`) replaces that.
pub fn init(verbosity: u8, filter: Option<&str>) {
    let level = match verbosity {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let ours = [
        "spo_daemon",
        "spo_enricher",
        "spo_manager",
        "spo_kube",
        "spo_host",
        "spo_process",
        "spo_selinuxd",
        "spo_webhook",
    ]
    .map(|name| format!("{name}={level}"))
    .join(",");
    // What these two complain about comes back to us as an error, and is told once.
    let theirs = "kube_client=off,kube_runtime=off";
    let default = format!("warn,{theirs},security_profiles_operator={level},{ours}");
    let filter = EnvFilter::new(filter.unwrap_or(&default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .fmt_fields(Pairs)
        .event_format(Klog)
        .init();
    // Tests and people grep for this line (decision 19).
    tracing::info!("Set logging verbosity to {verbosity}");
}

/// Writes what a line begins with, for those who write lines of a log themselves: the time now, and
/// this process. `letter` is the severity.
pub fn write_header(
    writer: &mut impl fmt::Write,
    letter: char,
    file: &str,
    line: u32,
) -> fmt::Result {
    write!(
        writer,
        "{letter}{} {:>7} {file}:{line}] ",
        jiff::Timestamp::now().strftime("%m%d %H:%M:%S.%6f"),
        std::process::id(),
    )
}

struct Klog;

impl<S> FormatEvent<S, Pairs> for Klog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Pairs>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let letter = match *metadata.level() {
            Level::ERROR => 'E',
            Level::WARN => 'W',
            Level::INFO | Level::DEBUG | Level::TRACE => 'I',
        };
        let file = metadata.file().unwrap_or("unknown");
        let file = file.rsplit('/').next().unwrap_or(file);
        write_header(&mut writer, letter, file, metadata.line().unwrap_or(0))?;
        let mut line = Line::default();
        event.record(&mut line);
        write!(writer, "{}{}", quote(&line.message), line.pairs)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<Pairs>>() {
                writer.write_str(&fields.fields)?;
            }
        }
        writeln!(writer)
    }
}

/// Formats the fields of a span as ` key=value` pairs.
struct Pairs;

impl<'writer> FormatFields<'writer> for Pairs {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut line = Line::default();
        fields.record(&mut line);
        writer.write_str(&line.pairs)
    }
}

#[derive(Default)]
struct Line {
    message: String,
    pairs: String,
}

impl Line {
    fn push(&mut self, field: &Field, value: &str) {
        self.pairs.push(' ');
        self.pairs.push_str(field.name());
        self.pairs.push('=');
        self.pairs.push_str(value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.push(field, &quote(&text));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.push(field, &quote(value));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, &value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, &value.to_string());
    }
}

/// Text in double quotes, with everything escaped that could start a line or end the quotes:
/// tenant-controlled values reach the log.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            char if char.is_control() || ('\u{2028}'..='\u{202e}').contains(&char) => {
                // Writing to a String can not fail.
                let _infallible = write!(quoted, "\\u{:04x}", u32::from(char));
            }
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_can_not_forge_lines() {
        for (text, expected) in [
            ("plain", r#""plain""#),
            ("a\nE0101 forged", r#""a\nE0101 forged""#),
            ("say \"hi\"\\", r#""say \"hi\"\\""#),
            ("\u{1b}[31m\u{202e}", r#""\u001b[31m\u202e""#),
        ] {
            assert_eq!(quote(text), expected);
        }
    }
}
