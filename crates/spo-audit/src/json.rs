//! The JSON enricher's record of a process.

use crate::arch::Syscall;
use crate::bucket::Bucket;
use crate::filter::{Fields, Value};
use crate::place::Place;
use crate::quote;
use crate::record::Owner;
use crate::text::Text;

/// What the field `version` says.
const VERSION: &str = "spo/v1_alpha";

/// A bucket as a record, ready to be filtered and written.
pub struct JsonRecord<'a> {
    bucket: &'a Bucket,
    owner: Owner,
    node: Node<'a>,
    place: Option<Place<'a>>,
    syscalls: Vec<&'a str>,
    timestamp: String,
}

struct Node<'a>(&'a str);

impl<'a> JsonRecord<'a> {
    /// The record of a bucket. `name` knows the names of system calls; what it does not know is
    /// left out. `None` if nobody knows whose process it was, or if its time is in no calendar.
    pub fn new<'n: 'a>(
        bucket: &'a Bucket,
        node: &'a str,
        name: impl Fn(Syscall) -> Option<&'n str>,
    ) -> Option<Self> {
        let mut syscalls: Vec<&'a str> = Vec::new();
        for syscall in &bucket.syscalls {
            syscalls.extend(name(*syscall));
        }
        syscalls.sort_unstable();
        syscalls.dedup();
        let time = jiff::Timestamp::from_second(bucket.seconds.try_into().ok()?).ok()?;
        Some(Self {
            bucket,
            owner: bucket.owner?,
            node: Node(node),
            place: bucket.facts.place.as_ref().map(|place| place.on(node)),
            syscalls,
            timestamp: time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
        })
    }

    /// Appends the record as one line without its end. `audit_id` is a random UUID.
    pub fn render(&self, audit_id: &str, out: &mut String) {
        let facts = &self.bucket.facts;
        text(out, "{\"auditID\":", audit_id);
        text(
            out,
            ",\"cmdLine\":",
            facts.command_line.as_deref().unwrap_or_default(),
        );
        text(out, ",\"executable\":", &self.bucket.executable);
        number(out, ",\"gid\":", self.owner.gid);
        text(out, ",\"node\":{\"name\":", self.node.0);
        number(out, "},\"pid\":", self.bucket.process.pid);
        if let Some(uid) = &facts.request_uid {
            text(out, ",\"requestUID\":", uid);
        }
        match &self.place {
            Some(place) => {
                text(out, ",\"resource\":{\"container\":", place.container);
                text(out, ",\"namespace\":", place.namespace);
                text(out, ",\"pod\":", place.pod);
                out.push('}');
            }
            None => out.push_str(",\"resource\":null"),
        }
        out.push_str(",\"syscalls\":");
        if self.syscalls.is_empty() {
            out.push_str("null");
        } else {
            for (index, name) in self.syscalls.iter().enumerate() {
                text(out, if index == 0 { "[" } else { "," }, name);
            }
            out.push(']');
        }
        text(out, ",\"timestamp\":", &self.timestamp);
        number(out, ",\"uid\":", self.owner.uid);
        text(out, ",\"version\":", VERSION);
        out.push('}');
    }
}

fn text(out: &mut String, before: &str, text: &str) {
    out.push_str(before);
    quote::for_json(out, text);
}

fn number(out: &mut String, before: &str, number: u32) {
    out.push_str(before);
    quote::number(out, number.into());
}

impl Fields for JsonRecord<'_> {
    fn field(&self, key: &str) -> Option<Value<'_>> {
        let text = |text| Some(Value::Text(Text::from(text)));
        let number = |number: u32| Some(Value::Number(number.into()));
        let facts = &self.bucket.facts;
        match key {
            // It is made when the record is written, and random: there is nothing to compare.
            "auditID" => Some(Value::Null),
            "cmdLine" => text(facts.command_line.as_deref().unwrap_or_default()),
            "executable" => text(&self.bucket.executable),
            "gid" => number(self.owner.gid),
            "node" => Some(Value::Object(&self.node)),
            "pid" => number(self.bucket.process.pid),
            "requestUID" => text(facts.request_uid.as_deref()?),
            "resource" => Some(match &self.place {
                Some(place) => Value::Object(place),
                None => Value::Null,
            }),
            "syscalls" if self.syscalls.is_empty() => Some(Value::Null),
            "syscalls" => Some(Value::List(&self.syscalls)),
            "timestamp" => text(&self.timestamp),
            "uid" => number(self.owner.uid),
            "version" => text(VERSION),
            _ => None,
        }
    }
}

impl Fields for Node<'_> {
    fn field(&self, key: &str) -> Option<Value<'_>> {
        (key == "name").then_some(Value::Text(Text::from(self.0)))
    }
}
