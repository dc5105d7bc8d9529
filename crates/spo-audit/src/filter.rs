//! Which records the user wants to see: rules of the flag `--enricher-filters-json`.
//!
//! The first rule that matches decides, by ascending priority; what no rule matches is written.
//! A rule matches if any of its keys does. Evaluation allocates nothing.

mod parse;

pub use parse::{FilterError, Notice};

use crate::text::Text;

/// What has fields that a rule can look at.
pub trait Fields {
    /// The value of a field; `None` if there is no such field.
    fn field(&self, key: &str) -> Option<Value<'_>>;
}

/// The value of a field.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// The field is there and has no value.
    Null,
    /// A number.
    Number(u64),
    /// A text.
    Text(Text<'a>),
    /// Texts.
    List(&'a [&'a str]),
    /// Fields inside the field.
    Object(&'a dyn Fields),
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is written (and counted).
    Emit,
    /// It is neither written nor counted.
    Drop,
}

/// The rules, in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    priority: i64,
    verdict: Verdict,
    keys: Vec<String>,
    values: Vec<Wanted>,
}

/// An accepted value, as written and as the number it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    text: String,
    number: Option<u64>,
}

impl Filters {
    /// Parses a JSON array of rules; nothing but spaces means no rules.
    ///
    /// A rule that can not mean what was written is an error. What upstream takes without effect,
    /// or what its documentation shows although it has none, comes back as notices for the log.
    pub fn parse(json: &str) -> Result<(Self, Vec<Notice>), FilterError> {
        parse::parse(json)
    }

    /// Whether a record is written.
    pub fn decide(&self, record: &dyn Fields) -> Verdict {
        self.rules
            .iter()
            .find(|rule| rule.matches(record))
            .map_or(Verdict::Emit, |rule| rule.verdict)
    }
}

impl Rule {
    fn matches(&self, record: &dyn Fields) -> bool {
        self.keys.iter().any(|key| {
            find(record, key).is_some_and(|value| {
                self.values.is_empty() || self.values.iter().any(|wanted| wanted.matches(value))
            })
        })
    }
}

/// The value of `key`, or of `outer/inner` in the object `outer`.
fn find<'a>(record: &'a dyn Fields, key: &str) -> Option<Value<'a>> {
    let mut record = record;
    let mut key = key;
    while let Some((outer, inner)) = key.split_once('/') {
        let Some(Value::Object(nested)) = record.field(outer) else {
            return None;
        };
        record = nested;
        key = inner;
    }
    record.field(key)
}

impl Wanted {
    fn matches(&self, value: Value<'_>) -> bool {
        match value {
            Value::Number(number) => self.number == Some(number),
            Value::Text(text) => text == *self.text,
            Value::List(texts) => texts.contains(&self.text.as_str()),
            Value::Null | Value::Object(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
