//! Where audit records come from: the kernel itself, or a file that a log daemon writes.
//!
//! Neither understands a record: that is `spo-audit`'s part.

pub mod follow;
pub mod netlink;
