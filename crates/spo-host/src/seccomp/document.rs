//! Pure. The members of a profile's JSON which a runtime reads.
//!
//! Format: OCI runtime-spec 1.2, `config-linux.md#seccomp`. Unknown members are passed over, as
//! runtimes do: the files of the operator hold `state` and `baseProfileName`. As in Go, null is
//! the same as absent.

use serde::Deserialize;
use spo_api::seccomp_profile::{Action, Arch, Flag, Operator};

/// A profile.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) default_action: Action,
    pub(super) default_errno_ret: Option<u32>,
    pub(super) architectures: Option<Vec<Arch>>,
    /// Absent is not the same as empty.
    pub(super) flags: Option<Vec<Flag>>,
    pub(super) syscalls: Option<Vec<Entry>>,
}

/// What happens to some system calls.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) names: Option<Vec<String>>,
    pub(super) action: Action,
    pub(super) errno_ret: Option<u32>,
    pub(super) args: Option<Vec<Condition>>,
}

/// A condition on one argument.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    /// Absent in files of upstream which had no index.
    #[serde(default)]
    pub(super) index: u32,
    pub(super) value: Option<u64>,
    pub(super) value_two: Option<u64>,
    pub(super) op: Operator,
}
