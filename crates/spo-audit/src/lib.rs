//! Audit records of the kernel, from the bytes of a source to what users read.
//!
//! Plain functions and machines that are fed: no I/O, no clock, no task. Time is an argument, names
//! of system calls are looked up by a function that the caller gives.
//!
//! | stage | entry |
//! | --- | --- |
//! | bytes of a source become lines; what is lost is counted | [`reader::Reader`] |
//! | a line becomes a record of seccomp, SELinux or AppArmor | [`frame::Line::record`] |
//! | several records become an event, where one is not enough | [`event::Assembler`] |
//! | a process becomes a container and a start time, by the text of `/proc` | [`proc`] |
//! | what has no container yet waits | [`backlog::Backlog`] |
//! | the user's rules decide what is written | [`filter::Filters`] |
//! | a record with its container becomes a line of the log | [`entry::Entry`] |
//! | lines that say the same become one | [`dedup::Dedup`] |
//! | a record becomes a count of a metric | [`label::count`] |
//! | records of a process become a JSON record | [`bucket::Buckets`], [`json::JsonRecord`] |
//!
//! Promises: a line is read once, from left to right, without a regular expression, and no stage up
//! to [`filter::Filters::decide`] allocates for it. Text of a program or of a tenant is only ever a
//! value: [`frame`] says whom a line is believed, [`text`] why a value can not end early, and what
//! is written out is escaped. Everything that grows has a bound, and what falls out is counted.

// Foreign bytes come in here; a position that is not there must be a value, not a panic.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

pub mod arch;
pub mod backlog;
pub mod bucket;
pub mod dedup;
pub mod entry;
pub mod event;
mod field;
pub mod filter;
pub mod frame;
pub mod json;
pub mod label;
pub mod place;
pub mod proc;
mod quote;
pub mod reader;
pub mod record;
pub mod serial;
pub mod stamp;
pub mod text;
