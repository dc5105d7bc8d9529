//! The verbs of the seccomp kind.
//!
//! What a rule means is defined once, in `rule.rs` and its parts `effect.rs` and `condition.rs`;
//! [`decide`] and [`merge`] are built on it. What libseccomp makes of rules which it can not hold
//! is in `libseccomp.rs`. Start reading at [`decide`].

pub mod check;
mod condition;
pub mod decide;
mod effect;
mod libseccomp;
pub mod merge;
pub mod parse;
pub mod render;
pub mod resolve;
mod rule;
pub mod validate;
