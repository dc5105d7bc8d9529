//! The verbs of the SELinux kinds.

pub mod raw;
