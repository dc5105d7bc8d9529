//! The log enricher's line: a record with its container, as fields in the contract's order.

use crate::filter::{Fields, Value};
use crate::place::Place;
use crate::quote;
use crate::record::{Detail, Record};
use crate::text::Text;

/// The most fields a line has: AppArmor's thirteen.
const MAX_FIELDS: usize = 13;

/// A record with its container, ready to be filtered and written. It allocates nothing.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    fields: [(&'static str, Value<'a>); MAX_FIELDS],
    len: usize,
}

impl<'a> Entry<'a> {
    /// The line of a record. `syscall` is the name of the system call of a seccomp record.
    pub fn new(record: &Record<'a>, place: &Place<'a>, syscall: &'a str) -> Self {
        let mut entry = Self {
            fields: [("", Value::Null); MAX_FIELDS],
            len: 0,
        };
        entry.text("timestamp", record.stamp.text);
        entry.text("type", record.detail.type_name());
        match &record.detail {
            Detail::Seccomp(seccomp) => {
                entry.place(place);
                entry.push("executable", Value::Text(seccomp.executable));
                entry.push("pid", Value::Number(record.pid.into()));
                entry.push("syscallID", Value::Number(seccomp.number.into()));
                entry.text("syscallName", syscall);
            }
            Detail::Selinux(avc) => {
                entry.text("profile", place.recording);
                entry.place(place);
                entry.push("perm", Value::Text(avc.permissions));
                entry.push("scontext", Value::Text(avc.scontext));
                entry.push("tcontext", Value::Text(avc.tcontext));
                entry.push("tclass", Value::Text(avc.tclass));
            }
            Detail::AppArmor(app_armor) => {
                entry.place(place);
                entry.push("executable", Value::Text(app_armor.comm));
                entry.push("pid", Value::Number(record.pid.into()));
                entry.push("apparmor", Value::Text(app_armor.verdict));
                entry.push("operation", Value::Text(app_armor.operation));
                entry.push("profile", Value::Text(app_armor.profile));
                entry.push("name", Value::Text(app_armor.name));
                if !app_armor.extra.is_empty() {
                    entry.push("extra_info", Value::Text(app_armor.extra));
                }
            }
        }
        entry
    }

    /// Appends the line as klog writes it after its header, without the header and the line end:
    /// `"audit" logger="log-enricher" timestamp="…" type="…" …`.
    pub fn render(&self, out: &mut String) {
        out.push_str("\"audit\" logger=\"log-enricher\"");
        for (key, value) in self.fields.iter().take(self.len) {
            out.push(' ');
            out.push_str(key);
            out.push('=');
            match value {
                Value::Number(number) => quote::number(out, *number),
                Value::Text(text) => quote::for_log(out, &text.to_str()),
                Value::Null | Value::List(_) | Value::Object(_) => {}
            }
        }
    }

    fn place(&mut self, place: &Place<'a>) {
        self.text("node", place.node);
        self.text("namespace", place.namespace);
        self.text("pod", place.pod);
        self.text("container", place.container);
    }

    fn text(&mut self, key: &'static str, text: &'a str) {
        self.push(key, Value::Text(Text::from(text)));
    }

    fn push(&mut self, key: &'static str, value: Value<'a>) {
        if let Some(slot) = self.fields.get_mut(self.len) {
            *slot = (key, value);
            self.len += 1;
        }
    }
}

impl Fields for Entry<'_> {
    fn field(&self, key: &str) -> Option<Value<'_>> {
        let mut fields = self.fields.iter().take(self.len);
        fields
            .find(|(name, _)| *name == key)
            .map(|(_, value)| *value)
    }
}

impl Detail<'_> {
    /// `seccomp`, `selinux` or `apparmor`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Seccomp(_) => "seccomp",
            Self::Selinux(_) => "selinux",
            Self::AppArmor(_) => "apparmor",
        }
    }
}
