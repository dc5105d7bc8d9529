//! OCI runtime-spec JSON to a spec.
//!
//! Takes what container runtimes take: the OCI `linux.seccomp` object, files rendered by an
//! operator, and Docker's own form with `name` instead of `names`. A value which the API can not
//! hold is an error. What has no counterpart there is left out and listed, so that nobody believes
//! to have it. Foreign bytes: bounded, and nothing here panics.
//! Format: OCI runtime-spec 1.2, config-linux.md#seccomp.

use std::fmt;

use spo_api::seccomp_profile::SeccompProfileSpec;

mod document;

/// Larger documents are refused. An object in etcd has at most 1.5 MiB.
const BYTES_MAX: usize = 4 << 20;

/// A profile, and what the document says beyond it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The profile.
    pub spec: SeccompProfileSpec,
    /// What was left out. Empty: the profile says all that the document does.
    pub losses: Vec<Loss>,
}

/// Something in a document which a SeccompProfile has no place for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Where it is, for example `syscalls[2].includes`.
    pub field: String,
    /// What it is and what the profile does instead.
    pub message: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Why a document is not a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is too long to be one.
    #[error("{0} bytes are too many for a seccomp profile; the limit is {BYTES_MAX}")]
    TooLarge(usize),
    /// It is not JSON, or a member has another type. The text is serde_json's.
    #[error("not a seccomp profile in JSON: {0}")]
    Json(String),
    /// A member which must be there is not.
    #[error("{0} is missing")]
    Missing(String),
    /// A name of an action, operator, architecture or flag is not known.
    #[error("{field}: {value:?} is not known; see the OCI runtime-spec, config-linux.md")]
    Unknown {
        /// Where it is.
        field: String,
        /// The name.
        value: String,
    },
    /// A number is larger than the API can hold.
    #[error("{field}: {value} is too large; a SeccompProfile holds numbers up to {max}")]
    TooLargeNumber {
        /// Where it is.
        field: String,
        /// The number.
        value: u64,
        /// The largest one that fits.
        max: u64,
    },
}

/// Parses a profile from OCI JSON.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ParseError> {
    if bytes.len() > BYTES_MAX {
        return Err(ParseError::TooLarge(bytes.len()));
    }
    document::parse(bytes)
}

#[cfg(test)]
mod tests;
