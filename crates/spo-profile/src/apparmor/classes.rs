//! Pure. The rule classes of `spec.abstract` which upstream lacks: mounts, signals, ptrace and Unix
//! sockets.

use std::fmt;

use spo_api::apparmor_profile::Abstract;
use spo_api::apparmor_profile::rules as api;

use super::glob::{Address, Glob, Source};
use super::problem::{Problems, Wrong};
use super::text::Text;
use super::word::{self, FsType, Label, MountOption, Signal};

/// The checked rules of these classes.
#[derive(Default)]
pub(super) struct Classes {
    mounts: Vec<Mount>,
    unmounts: Vec<Glob>,
    signals: Vec<SignalRule>,
    traces: Vec<PtraceRule>,
    sockets: Vec<UnixRule>,
}

impl Classes {
    pub(super) fn check(rules: &Abstract, problems: &mut Problems) -> Self {
        let mut classes = Self::default();
        if let Some(mount) = &rules.mount {
            let field = "spec.abstract.mount.allowedMounts";
            for (index, rule) in mount.allowed_mounts.iter().enumerate() {
                let rule = Mount::check(rule, &format!("{field}[{index}]"), problems);
                classes.mounts.push(rule);
            }
            classes.unmounts = problems.keep_all(
                "spec.abstract.mount.allowedUnmounts",
                &mount.allowed_unmounts,
                Glob::parse,
            );
        }
        let signals = rules.signal.iter().flat_map(|it| &it.allowed_signals);
        for (index, rule) in signals.enumerate() {
            let field = format!("spec.abstract.signal.allowedSignals[{index}]");
            classes
                .signals
                .push(SignalRule::check(rule, &field, problems));
        }
        let traces = rules.ptrace.iter().flat_map(|it| &it.allowed_traces);
        for (index, rule) in traces.enumerate() {
            let field = format!("spec.abstract.ptrace.allowedTraces[{index}]");
            classes
                .traces
                .push(PtraceRule::check(rule, &field, problems));
        }
        let sockets = rules.unix.iter().flat_map(|it| &it.allowed_sockets);
        for (index, rule) in sockets.enumerate() {
            let field = format!("spec.abstract.unix.allowedSockets[{index}]");
            classes
                .sockets
                .push(UnixRule::check(rule, &field, problems));
        }
        classes
    }

    /// Classes without a rule get no title, so that what upstream could say looks as upstream says
    /// it.
    pub(super) fn write(&self, to: &mut Text) {
        if !(self.mounts.is_empty() && self.unmounts.is_empty()) {
            to.section("Mount rules");
        }
        for rule in &self.mounts {
            to.rule(rule);
        }
        for target in &self.unmounts {
            to.rule(format_args!("umount {target}"));
        }
        rules("Signal rules", &self.signals, to);
        rules("Ptrace rules", &self.traces, to);
        rules("Unix rules", &self.sockets, to);
    }
}

fn rules(title: &str, rules: &[impl fmt::Display], to: &mut Text) {
    if !rules.is_empty() {
        to.section(title);
    }
    for rule in rules {
        to.rule(rule);
    }
}

/// A rule about access has some.
pub(super) fn some_access<T>(access: &[T], field: &str, problems: &mut Problems) {
    if access.is_empty() {
        problems.push(
            &format!("{field}.access"),
            Wrong::new("no access", "say what is allowed or denied"),
        );
    }
}

/// `word=value` after a blank, if there is a value.
fn condition(f: &mut fmt::Formatter<'_>, word: &str, value: &Option<Label>) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {word}={value}"),
        None => Ok(()),
    }
}

/// Values between brackets.
fn list(values: &[impl fmt::Display]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    format!("({})", values.join(", "))
}

/// Keeps the value of an optional field.
fn optional<T>(
    problems: &mut Problems,
    field: &str,
    value: &Option<String>,
    parse: fn(&str) -> Result<T, Wrong>,
) -> Option<T> {
    let value = value.as_deref()?;
    problems.keep(field, parse(value))
}

struct Mount {
    fs_types: Vec<FsType>,
    options: Vec<MountOption>,
    source: Option<Source>,
    target: Option<Glob>,
}

impl Mount {
    fn check(rule: &api::MountRule, field: &str, problems: &mut Problems) -> Self {
        let sub = |name: &str| format!("{field}.{name}");
        let this = Self {
            fs_types: problems.keep_all(&sub("fsTypes"), &rule.fs_types, FsType::parse),
            options: problems.keep_all(&sub("options"), &rule.options, MountOption::parse),
            source: optional(problems, &sub("source"), &rule.source, Source::parse),
            target: optional(problems, &sub("target"), &rule.target, Glob::parse),
        };
        this.coherence(field, problems);
        this
    }

    /// What the kernel never sees together, and some parsers take for anything and others refuse.
    fn coherence(&self, field: &str, problems: &mut Problems) {
        let field = |name: &str| format!("{field}.{name}");
        let mut operations = self.options.iter().filter(|option| option.is_operation());
        let (operation, another) = (operations.next(), operations.next());
        if let (Some(one), Some(other)) = (operation, another) {
            let message = format!("validating mount: {one} and {other} are different operations");
            problems.push(
                &field("options"),
                Wrong::new(message, "write a rule for each"),
            );
        }
        let pairs = self.options.iter().enumerate().flat_map(|(index, one)| {
            let others = self.options.iter().skip(index + 1);
            others.map(move |other| (one, other))
        });
        for (one, other) in pairs.filter(|(one, other)| one.contradicts(**other)) {
            let message = format!("validating mount: {one} and {other} contradict each other");
            problems.push(&field("options"), Wrong::new(message, "remove one"));
        }
        let Some(operation) = operation else {
            return;
        };
        if !self.fs_types.is_empty() {
            let message = format!("validating mount: {operation} has no type of file system");
            problems.push(&field("fsTypes"), Wrong::new(message, "remove the field"));
        }
        if operation.0.starts_with("make-") && self.source.is_some() {
            let message = format!("validating mount: {operation} has no source");
            problems.push(&field("source"), Wrong::new(message, "remove the field"));
        }
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mount")?;
        if !self.fs_types.is_empty() {
            write!(f, " fstype={}", list(&self.fs_types))?;
        }
        if !self.options.is_empty() {
            write!(f, " options={}", list(&self.options))?;
        }
        if let Some(source) = &self.source {
            write!(f, " {source}")?;
        }
        match &self.target {
            Some(target) => write!(f, " -> {target}"),
            None => Ok(()),
        }
    }
}

struct SignalRule {
    access: Vec<&'static str>,
    signals: Vec<Signal>,
    peer: Option<Label>,
}

impl SignalRule {
    fn check(rule: &api::SignalRule, field: &str, problems: &mut Problems) -> Self {
        some_access(&rule.access, field, problems);
        let sub = |name: &str| format!("{field}.{name}");
        Self {
            access: rule.access.iter().copied().map(word::signal).collect(),
            signals: problems.keep_all(&sub("signals"), &rule.signals, Signal::parse),
            peer: optional(problems, &sub("peer"), &rule.peer, Label::parse),
        }
    }
}

impl fmt::Display for SignalRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signal {}", list(&self.access))?;
        if !self.signals.is_empty() {
            write!(f, " set={}", list(&self.signals))?;
        }
        condition(f, "peer", &self.peer)
    }
}

struct PtraceRule {
    access: Vec<&'static str>,
    peer: Option<Label>,
}

impl PtraceRule {
    fn check(rule: &api::PtraceRule, field: &str, problems: &mut Problems) -> Self {
        some_access(&rule.access, field, problems);
        Self {
            access: rule.access.iter().copied().map(word::ptrace).collect(),
            peer: optional(problems, &format!("{field}.peer"), &rule.peer, Label::parse),
        }
    }
}

impl fmt::Display for PtraceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ptrace {}", list(&self.access))?;
        condition(f, "peer", &self.peer)
    }
}

struct UnixRule {
    access: Vec<&'static str>,
    kind: Option<&'static str>,
    address: Option<Address>,
    peer: Option<Label>,
    peer_address: Option<Address>,
}

impl UnixRule {
    fn check(rule: &api::UnixRule, field: &str, problems: &mut Problems) -> Self {
        use api::UnixAccess::{Accept, Connect, Receive, Send};
        some_access(&rule.access, field, problems);
        let sub = |name: &str| format!("{field}.{name}");
        let has_peer = rule.peer.is_some() || rule.peer_address.is_some();
        let is_for_peers = |access| matches!(access, Accept | Connect | Receive | Send);
        if has_peer && !rule.access.iter().copied().all(is_for_peers) {
            problems.push(
                &sub("access"),
                Wrong::new(
                    "validating unix: access which has no peer",
                    "with a peer, use Connect, Accept, Send and Receive; put the others into a \
                     rule without one",
                ),
            );
        }
        Self {
            access: rule.access.iter().copied().map(word::unix).collect(),
            kind: rule.r#type.map(word::unix_type),
            address: optional(problems, &sub("address"), &rule.address, Address::parse),
            peer: optional(problems, &sub("peer"), &rule.peer, Label::parse),
            peer_address: optional(
                problems,
                &sub("peerAddress"),
                &rule.peer_address,
                Address::parse,
            ),
        }
    }
}

impl fmt::Display for UnixRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix {}", list(&self.access))?;
        if let Some(kind) = self.kind {
            write!(f, " type={kind}")?;
        }
        if let Some(address) = &self.address {
            write!(f, " addr={address}")?;
        }
        let label = self.peer.as_ref().map(|label| format!("label={label}"));
        let address = self.peer_address.as_ref().map(|it| format!("addr={it}"));
        let peer: Vec<String> = label.into_iter().chain(address).collect();
        match peer.is_empty() {
            true => Ok(()),
            false => write!(f, " peer={}", list(&peer)),
        }
    }
}
