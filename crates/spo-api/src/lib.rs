//! The custom resources as types: every kind, every served version, names, labels, annotations.
//!
//! This crate is the language that all the others speak.
//! It decides nothing about nodes or clusters, does no I/O and knows no clock.
//! Start reading at `seccomp_profile.rs`; `crd.rs` turns the types into CustomResourceDefinitions.

#![expect(
    clippy::duplicated_attributes,
    reason = "the lint does not know that each `printcolumn` has a type of its own"
)]

pub mod apparmor_profile;
pub mod condition;
pub mod convert;
pub mod crd;
pub mod meta;
pub mod name;
pub mod node_status;
pub mod profile;
pub mod profile_binding;
pub mod profile_recording;
pub mod raw_selinux_profile;
pub mod seccomp_profile;
pub mod selinux_profile;
pub mod spod;

/// The API group of every kind.
pub const GROUP: &str = "security-profiles-operator.x-k8s.io";
