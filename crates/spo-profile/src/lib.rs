//! A profile as a document: where it lives on a node, and how it is resolved, checked, merged,
//! parsed and rendered.
//!
//! Everything here is a plain function or a machine that asks: no I/O, no async, no clock.
//! Which verb exists for which kind:
//!
//! | verb | SeccompProfile |
//! | --- | --- |
//! | `resolve` | follow `spec.baseProfileName` ([`seccomp::resolve`]) |
//! | `merge` | the union of rules ([`seccomp::merge`]) |
//! | `check` | against what the administrator permits ([`seccomp::check`]) |
//! | `validate` | against what a container runtime accepts ([`seccomp::validate`]) |
//! | `decide` | what a container runtime makes of it ([`seccomp::decide`]) |
//! | `parse`, `render` | OCI runtime JSON ([`seccomp::parse`], [`seccomp::render`]) |
//!
//! An AppArmorProfile is validated and rendered in one go ([`apparmor::render`]); [`apparmor::merge`]
//! is the union of two.
//!
//! Start reading at [`layout`], then [`seccomp`].

// Foreign bytes come in here; a position that is not there must be a value, not a panic.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

pub mod apparmor;
pub mod layout;
pub mod seccomp;
pub mod selinux;
