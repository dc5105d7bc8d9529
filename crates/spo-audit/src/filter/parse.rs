//! The rules as JSON, forgiving where upstream is and clear where it is silent.

use std::fmt;

use serde_json::{Map, Value};

use super::{Filters, Rule, Verdict, Wanted};

/// Why rules can not be used. Rules are counted from 1, in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is not JSON.
    #[error(
        "enricher filters are not JSON at line {line}, column {column} ({what}): write an array of \
         rules, with a comma between two of them, a comma between two fields, and none at the end"
    )]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// It is JSON, but no array.
    #[error("enricher filters are {found}, not an array: write [] around the rules")]
    NotAnArray {
        /// What it is.
        found: Found,
    },
    /// A rule is no object.
    #[error(
        "rule {rule} of the enricher filters is {found}, not an object: write {{\"priority\": …}}"
    )]
    NotAnObject {
        /// Which rule.
        rule: usize,
        /// What it is.
        found: Found,
    },
    /// A field has a value of another type than it takes.
    #[error("field {field} of rule {rule} of the enricher filters is {found}: write {fix}")]
    Field {
        /// Which rule.
        rule: usize,
        /// Its name as it should be written.
        field: &'static str,
        /// What its value is.
        found: Found,
        /// What to write.
        fix: &'static str,
    },
}

/// The type of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number that is not a whole one of 64 bits.
    Fraction,
    /// A whole number.
    Number,
    /// A text.
    Text,
    /// An array.
    Array,
    /// An array with something else than texts in it.
    MixedArray,
    /// An object.
    Object,
}

/// Something in a rule that has no effect, or not the one it seems to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A field that no rule has.
    UnknownField {
        /// Which rule.
        rule: usize,
        /// Its name as written.
        field: String,
    },
    /// `matchLabels`, which older documentation shows, was taken for `matchKeys`.
    MatchLabels {
        /// Which rule.
        rule: usize,
    },
    /// Without keys the rule never matches.
    NoKeys {
        /// Which rule.
        rule: usize,
    },
    /// A level other than `Metadata` and `None` lets the record pass.
    UnknownLevel {
        /// Which rule.
        rule: usize,
        /// The level as written.
        level: String,
    },
}

pub(super) fn parse(json: &str) -> Result<(Filters, Vec<Notice>), FilterError> {
    if json.trim().is_empty() {
        return Ok((Filters::default(), Vec::new()));
    }
    let rules = match serde_json::from_str(json).map_err(not_json)? {
        Value::Array(rules) => rules,
        Value::Null => Vec::new(),
        other => {
            let found = Found::of(&other);
            return Err(FilterError::NotAnArray { found });
        }
    };
    let mut notices = Vec::new();
    let mut rules = rules
        .iter()
        .zip(1..)
        .map(|(value, rule)| match value {
            Value::Object(fields) => parse_rule(rule, fields, &mut notices),
            // Upstream's language makes an empty rule of it.
            Value::Null => parse_rule(rule, &Map::new(), &mut notices),
            other => Err(FilterError::NotAnObject {
                rule,
                found: Found::of(other),
            }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    // Stable: of two rules with one priority the one written first is asked first.
    rules.sort_by_key(|rule| rule.priority);
    Ok((Filters { rules }, notices))
}

fn not_json(error: serde_json::Error) -> FilterError {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    FilterError::NotJson {
        line: error.line(),
        column: error.column(),
        what: what.to_owned(),
    }
}

fn parse_rule(
    number: usize,
    fields: &Map<String, Value>,
    notices: &mut Vec<Notice>,
) -> Result<Rule, FilterError> {
    let mut rule = Rule {
        priority: 0,
        verdict: Verdict::Emit,
        keys: Vec::new(),
        values: Vec::new(),
    };
    let mut level = "";
    let mut labels = Vec::new();
    for (name, value) in fields {
        let field = |field, value| Field {
            rule: number,
            field,
            value,
        };
        // Names match in either case, as upstream's JSON library has it.
        match name.to_ascii_lowercase().as_str() {
            _ if value.is_null() => {}
            "priority" => rule.priority = field("priority", value).integer()?,
            "level" => level = field("level", value).text()?,
            "matchkeys" => rule.keys = field("matchKeys", value).texts()?,
            "matchlabels" => labels = field("matchLabels", value).texts()?,
            "matchvalues" => {
                let values = field("matchValues", value).texts()?;
                rule.values = values.into_iter().map(Wanted::new).collect();
            }
            _ => notices.push(Notice::UnknownField {
                rule: number,
                field: name.clone(),
            }),
        }
    }
    if !labels.is_empty() {
        notices.push(Notice::MatchLabels { rule: number });
        rule.keys.append(&mut labels);
    }
    if rule.keys.is_empty() {
        notices.push(Notice::NoKeys { rule: number });
    }
    match level {
        "Metadata" => {}
        "None" => rule.verdict = Verdict::Drop,
        level => notices.push(Notice::UnknownLevel {
            rule: number,
            level: level.to_owned(),
        }),
    }
    Ok(rule)
}

struct Field<'a> {
    rule: usize,
    field: &'static str,
    value: &'a Value,
}

impl<'a> Field<'a> {
    fn integer(&self) -> Result<i64, FilterError> {
        self.value
            .as_i64()
            .ok_or_else(|| self.refuse(Found::of(self.value), "a whole number without quotes"))
    }

    fn text(&self) -> Result<&'a str, FilterError> {
        let fix = "\"Metadata\" to write the record or \"None\" to drop it";
        self.value
            .as_str()
            .ok_or_else(|| self.refuse(Found::of(self.value), fix))
    }

    fn texts(&self) -> Result<Vec<String>, FilterError> {
        let fix = "an array of texts, numbers in quotes too: [\"50\"]";
        let Value::Array(values) = self.value else {
            return Err(self.refuse(Found::of(self.value), fix));
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        values
            .iter()
            .map(text)
            .collect::<Option<_>>()
            .ok_or_else(|| self.refuse(Found::MixedArray, fix))
    }

    fn refuse(&self, found: Found, fix: &'static str) -> FilterError {
        FilterError::Field {
            rule: self.rule,
            field: self.field,
            found,
            fix,
        }
    }
}

impl Wanted {
    fn new(text: String) -> Self {
        let number = text.parse().ok();
        Self { text, number }
    }
}

impl Found {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_i64() => Self::Number,
            Value::Number(_) => Self::Fraction,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Fraction => "a number with a fraction or out of range",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Array => "an array",
            Self::MixedArray => "an array in which not all values are texts",
            Self::Object => "an object",
        })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField { rule, field } => write!(
                f,
                "field {field:?} of rule {rule} of the enricher filters is unknown and has no \
                 effect: a rule has priority, level, matchKeys and matchValues"
            ),
            Self::MatchLabels { rule } => write!(
                f,
                "field matchLabels of rule {rule} of the enricher filters is taken for matchKeys: \
                 write matchKeys"
            ),
            Self::NoKeys { rule } => write!(
                f,
                "rule {rule} of the enricher filters never matches: name the fields to look at in \
                 matchKeys"
            ),
            Self::UnknownLevel { rule, level } => write!(
                f,
                "level {level:?} of rule {rule} of the enricher filters is unknown and taken for \
                 \"Metadata\": write \"Metadata\" or \"None\""
            ),
        }
    }
}
