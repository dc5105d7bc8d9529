//! Pure. Rules as text.

use std::fmt;

/// The inside of a profile, which grows by whole lines.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins the rules of one class.
    pub(super) fn section(&mut self, title: &str) {
        self.0.push_str("\n  # ");
        self.0.push_str(title);
        self.0.push('\n');
    }

    /// Adds a rule, which ends with a comma here and nowhere else.
    pub(super) fn rule(&mut self, rule: impl fmt::Display) {
        self.0.push_str(&format!("  {rule},\n"));
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}
