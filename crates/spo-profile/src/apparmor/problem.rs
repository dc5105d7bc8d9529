//! Pure. Why a profile is refused.

use std::fmt;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the field, for example `spec.abstract.filesystem.readOnlyPaths[0]`.
    pub field: String,
    /// What is wrong and with which value.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            message,
            fix,
        } = self;
        write!(f, "{message}: {field}: {fix}")
    }
}

/// A profile which has no text. `Display` shows the first problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The first problem, in the order of the checks.
    pub first: Problem,
    /// The other ones.
    pub others: Vec<Problem>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "validating data injected into apparmor profile: {}",
            self.first
        )?;
        match self.others.len() {
            0 => Ok(()),
            1 => f.write_str(" (and one more problem)"),
            more => write!(f, " (and {more} more problems)"),
        }
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// With the problem of one field.
    pub(super) fn one(field: &str, wrong: Wrong) -> Self {
        Self {
            first: wrong.of(field),
            others: vec![],
        }
    }
}

/// Problems as they are found.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a problem of `field`.
    pub(super) fn push(&mut self, field: &str, wrong: Wrong) {
        self.0.push(wrong.of(field));
    }

    /// Keeps what is right and notes what is wrong.
    pub(super) fn keep<T>(&mut self, field: &str, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.push(field, wrong)).ok()
    }

    /// Keeps what is right in a list.
    pub(super) fn keep_all<'a, T>(
        &mut self,
        field: &str,
        values: impl IntoIterator<Item = &'a String>,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let values = values.into_iter().enumerate();
        values
            .filter_map(|(index, value)| self.keep(&format!("{field}[{index}]"), parse(value)))
            .collect()
    }

    /// `value`, if there was no problem.
    pub(super) fn or<T>(self, value: T) -> Result<T, Refused> {
        let mut problems = self.0.into_iter();
        match problems.next() {
            None => Ok(value),
            Some(first) => Err(Refused {
                first,
                others: problems.collect(),
            }),
        }
    }
}

/// A problem of a value, which does not know the field that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) fix: &'static str,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, fix: &'static str) -> Self {
        Self {
            message: message.into(),
            fix,
        }
    }

    fn of(self, field: &str) -> Problem {
        Problem {
            field: field.to_owned(),
            message: self.message,
            fix: self.fix.to_owned(),
        }
    }
}
