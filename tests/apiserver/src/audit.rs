//! Who has written what, as the API server's audit log tells.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use serde::Deserialize;

use crate::env;
use crate::wait::{self, SOON};

/// A request that writes, leases left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The user; of our own accounts the name only.
    pub user: String,
    /// `create`, `patch`, …
    pub verb: String,
    /// The plural, with the subresource.
    pub resource: String,
    /// The object's name; empty for a collection, and for a creation that the server names.
    pub name: String,
    /// The status code of the answer.
    pub code: u16,
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            user,
            verb,
            resource,
            name,
            code,
        } = self;
        write!(f, "{user} {verb} {resource} {name} {code}")
    }
}

/// A place in the log.
#[derive(Debug, Clone, Copy)]
pub struct Mark(u64);

/// The end of the log.
pub fn mark() -> Mark {
    Mark(std::fs::metadata(env::audit_log()).map_or(0, |log| log.len()))
}

impl Mark {
    /// What was written since, by anybody.
    pub fn writes(self) -> Vec<Write> {
        let mut log = File::open(env::audit_log()).unwrap();
        log.seek(SeekFrom::Start(self.0)).unwrap();
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        // The last line may be half written.
        let end = text.rfind('\n').map_or(0, |end| end + 1);
        text[..end].lines().filter_map(parse).collect()
    }

    /// What one of our accounts has written since, `spod` for instance.
    pub fn writes_by(self, user: &str) -> Vec<Write> {
        self.writes()
            .into_iter()
            .filter(|write| write.user == user)
            .collect()
    }

    /// What was written until nothing has been for `quiet`.
    pub async fn settled(self, quiet: Duration) -> Vec<Write> {
        wait::settled(SOON, quiet, "writes to the API server", async || {
            self.writes()
        })
        .await
    }
}

/// The writes, one a line, for messages.
pub fn list(writes: &[Write]) -> String {
    writes.iter().map(|write| format!("\n  {write}")).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: String,
    subresource: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: u16,
}

fn parse(line: &str) -> Option<Write> {
    let Event {
        verb,
        user,
        object_ref,
        response_status,
    } = serde_json::from_str(line).ok()?;
    let ObjectRef {
        resource,
        subresource,
        name,
    } = object_ref?;
    let account = user
        .username
        .strip_prefix("system:serviceaccount:security-profiles-operator:");
    Some(Write {
        user: account.unwrap_or(&user.username).to_owned(),
        verb,
        resource: match subresource {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource,
        },
        name: name.unwrap_or_default(),
        code: response_status
            .map(|status| status.code)
            .unwrap_or_default(),
    })
}
