//! Pure. What selinuxd says about a policy, and how that is written (contract 02a, 3.7).

use serde::{Deserialize, Serialize};

/// How the installation of a policy ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyStatus {
    /// It is in the policy of the node.
    Installed,
    /// It is not, or not as its file says.
    Failed {
        /// Why. Upstream's selinuxd gives no reason here, only the path.
        message: String,
    },
}

/// The body of `/policies/<name>`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    status: String,
    #[serde(default)]
    msg: String,
}

impl Written {
    /// How the status is written.
    pub(crate) fn of(status: &PolicyStatus) -> Self {
        let (status, msg) = match status {
            PolicyStatus::Installed => ("Installed", ""),
            PolicyStatus::Failed { message } => ("Failed", message.as_str()),
        };
        Self {
            status: status.to_owned(),
            msg: msg.to_owned(),
        }
    }
}

/// The body of `/ready`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) ready: bool,
}

/// Why a body does not tell a status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the JSON that was agreed upon.
    #[error("the answer is not the JSON that selinuxd's contract names")]
    Json(#[from] serde_json::Error),
    /// A status which neither side knows.
    #[error("invalid sePolStatus value {0:?}: expected Installed or Failed")]
    Status(String),
}

impl PolicyStatus {
    /// Reads the body of an answer.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Error> {
        let written: Written = serde_json::from_slice(body)?;
        match written.status.as_str() {
            "Installed" => Ok(Self::Installed),
            "Failed" => Ok(Self::Failed {
                message: written.msg,
            }),
            _ => Err(Error::Status(written.status)),
        }
    }
}

/// Whether text can be the name of a policy in a request and of a file in the drop directory.
/// What a name in CIL may be is narrower; it is not decided here.
pub(crate) fn is_policy_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// A file name has 255 bytes, four of which are `.cil`.
const NAME_MAX: usize = 251;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_s_answers_are_read() {
        let parse = |text: &str| PolicyStatus::parse(text.as_bytes());
        let installed = parse("{\"status\":\"Installed\",\"msg\":\"\"}\n").unwrap();
        assert_eq!(installed, PolicyStatus::Installed);
        let failed =
            parse("{\"status\":\"Failed\",\"msg\":\"cannot install module: /x\"}\n").unwrap();
        let message = "cannot install module: /x".to_owned();
        assert_eq!(failed, PolicyStatus::Failed { message });
        let unknown = parse("{\"status\":\"installed\"}").unwrap_err();
        assert!(matches!(unknown, Error::Status(status) if status == "installed"));
        assert!(matches!(parse("null").unwrap_err(), Error::Json(_)));
    }

    #[test]
    fn a_name_does_not_leave_its_place_in_the_request() {
        for name in ["a", "nginx-secure_default", "0.a"] {
            assert!(is_policy_name(name), "{name}");
        }
        let long = "a".repeat(252);
        for name in [
            "", ".", "..", "a/b", "a b", "a?b", "a%2fb", "ä", "a\r\n", &long,
        ] {
            assert!(!is_policy_name(name), "{name}");
        }
    }
}
