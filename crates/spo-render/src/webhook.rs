//! The admission webhooks: who serves them, how they are reached, and when they are called.
//!
//! Nothing of it is rendered when the webhooks are deployed by hand.

pub(crate) mod configurations;
pub(crate) mod deployment;
pub(crate) mod service;
