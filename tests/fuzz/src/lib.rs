//! What the fuzz targets share: profiles made of arbitrary bytes, and the filter which libseccomp
//! makes of a profile.
//!
//! From the top of the repository: `cargo +nightly fuzz run --fuzz-dir tests/fuzz <target>`. Each
//! target asserts more than "does not panic".

pub mod filter;
pub mod profile;
