//! The text of AppArmor profiles as the real parser reads it: it takes all of them, and finds the
//! rules that were meant and no others. Takes `apparmor_parser`, and no kernel with AppArmor.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod hostile;
mod meant;
mod parser;
mod policy;
mod spec;
