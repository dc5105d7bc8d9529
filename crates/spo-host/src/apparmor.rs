//! AppArmor: the compiler of profiles, and the kernel which takes what it compiles.
//!
//! The parser is the one of our own image, and runs as a child: the daemon needs neither the host's
//! programs nor its mount namespace. Loading takes CAP_MAC_ADMIN and the securityfs of the host;
//! reading what is loaded takes the securityfs only.

pub mod kernel;
pub mod parser;

/// The mode in which a profile is enforced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// What is not allowed is denied.
    Enforce,
    /// What is not allowed is logged.
    Complain,
    /// Any other: `kill`, `unconfined`, `user`.
    Other(String),
}

impl Mode {
    /// As the kernel names it.
    pub fn parse(text: &str) -> Self {
        match text {
            "enforce" => Self::Enforce,
            "complain" => Self::Complain,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Complain => "complain",
            Self::Other(other) => other,
        })
    }
}
