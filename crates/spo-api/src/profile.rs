//! What the kinds of profile share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kinds of profile which can be bound to pods and recorded from pods.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[expect(
    missing_docs,
    reason = "the names are kinds; a doc comment would become oneOf"
)]
pub enum ProfileKind {
    SeccompProfile,
    SelinuxProfile,
    // Objects stored by upstream up to 0.10 have the other spelling (contract 01, 4.5).
    #[serde(alias = "ApparmorProfile")]
    AppArmorProfile,
}

impl ProfileKind {
    /// The name of the kind.
    pub fn as_str(self) -> &'static str {
        match self {
            ProfileKind::SeccompProfile => "SeccompProfile",
            ProfileKind::SelinuxProfile => "SelinuxProfile",
            ProfileKind::AppArmorProfile => "AppArmorProfile",
        }
    }
}

impl std::fmt::Display for ProfileKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
