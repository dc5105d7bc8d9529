//! What the fuzz targets share: profiles made of arbitrary bytes, and the filter which libseccomp
//! makes of a profile.
//!
//! `cargo +nightly fuzz run <target>` from this folder's parent; each target asserts more than
//! "does not panic".

pub mod filter;
pub mod profile;
