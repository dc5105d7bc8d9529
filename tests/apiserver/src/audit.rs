//! Who has written what, as the API server's audit log tells.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use serde::Deserialize;

use crate::env;
use crate::wait::{self, SOON};

/// A request that writes, leases left out: they are renewed all the time.
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
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    api_group: Option<String>,
    resource: String,
    subresource: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
}

impl ObjectRef {
    fn resource(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource),
            None => self.resource.clone(),
        }
    }
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: u16,
}

/// A request of one of our accounts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// The name of the account.
    pub account: String,
    /// `get`, `list`, `create`, …
    pub verb: String,
    /// The API group.
    pub group: String,
    /// The plural, with the subresource.
    pub resource: String,
    /// The object's name; empty for a collection.
    pub name: String,
    /// The namespace; empty for what has none.
    pub namespace: String,
    /// Whether it made the object: an apply of something that was not there.
    pub created: bool,
}

/// Every request that our accounts have made since the API server started, and that was granted.
pub fn requests() -> BTreeSet<Request> {
    let text = std::fs::read_to_string(env::audit_log()).unwrap_or_default();
    text.lines().filter_map(request).collect()
}

fn request(line: &str) -> Option<Request> {
    let event: Event = serde_json::from_str(line).ok()?;
    let account = event.user.username.strip_prefix(ACCOUNTS)?.to_owned();
    let code = event.response_status.map_or(0, |status| status.code);
    if code == 403 {
        return None;
    }
    let object = event.object_ref?;
    Some(Request {
        account,
        verb: event.verb,
        group: object.api_group.clone().unwrap_or_default(),
        resource: object.resource(),
        name: object.name.unwrap_or_default(),
        namespace: object.namespace.unwrap_or_default(),
        created: code == 201,
    })
}

const ACCOUNTS: &str = "system:serviceaccount:security-profiles-operator:";

fn parse(line: &str) -> Option<Write> {
    let Event {
        verb,
        user,
        object_ref,
        response_status,
    } = serde_json::from_str(line).ok()?;
    let object = object_ref?;
    if matches!(verb.as_str(), "get" | "list" | "watch") || object.resource == "leases" {
        return None;
    }
    let account = user.username.strip_prefix(ACCOUNTS);
    Some(Write {
        user: account.unwrap_or(&user.username).to_owned(),
        verb,
        resource: object.resource(),
        name: object.name.unwrap_or_default(),
        code: response_status
            .map(|status| status.code)
            .unwrap_or_default(),
    })
}
