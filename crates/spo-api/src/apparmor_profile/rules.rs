//! The rule classes of AppArmor which upstream's schema has no fields for.
//!
//! Every field is optional, so that a manifest for upstream keeps its meaning. Patterns catch what
//! can never be meant; the operator checks the rest where it writes the profile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// FileRule says what happens to some paths.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct FileRule {
    /// path is a file or, if it ends in `/`, a directory. It begins with `/` or with a variable of
    /// AppArmor, such as `@{PROC}`. `*` stands for any characters but `/`, `**` for any characters,
    /// `?` for one but `/`, `[a-z]` and `[^a-z]` for one of a set or none of it, `{a,b}` for one of
    /// several texts. A backslash takes the meaning from one of these characters.
    #[schemars(
        length(min = 1, max = 4096),
        regex(pattern = r#"^[/@][^"\x00-\x1f\x7f]*$"#)
    )]
    pub path: String,

    /// access lists what is allowed or denied.
    #[schemars(length(min = 1, max = 6), extend("x-kubernetes-list-type" = "set"))]
    pub access: Vec<FileAccess>,
}

/// One way to use a file. `Write` includes `Append`; `Map` is to map it as code.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum FileAccess {
    Read,
    Write,
    Append,
    Map,
    Lock,
    Link,
}

/// Transition lets a program run under another profile.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// path of the program. Globs are those of filesystem.allowedPaths.
    #[schemars(
        length(min = 1, max = 4096),
        regex(pattern = r#"^[/@][^"\x00-\x1f\x7f]*$"#)
    )]
    pub path: String,

    /// profile is the name of the profile under which the program runs. It does not start where
    /// that is not loaded. `unconfined` is refused.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-zA-Z0-9_./-]+$"))]
    pub profile: String,
}

/// Mount lists the file systems which may be mounted and unmounted. The container needs the
/// capability `sys_admin` for that, too.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Mount {
    /// allowedMounts lists what may be mounted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub allowed_mounts: Vec<MountRule>,

    /// allowedUnmounts lists the mount points which may be unmounted. Globs are those of
    /// filesystem.allowedPaths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 128),
        inner(length(min = 1, max = 4096), regex(pattern = r#"^[/@][^"\x00-\x1f\x7f]*$"#)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub allowed_unmounts: Vec<String>,
}

/// MountRule allows mounts which have everything that the rule names.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct MountRule {
    /// fsTypes are types of file systems, such as `tmpfs`. Absent means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9_.-]+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub fs_types: Vec<String>,

    /// options are the options of mount(8) which the mount has to have, all of these and no others.
    /// Absent means any. A remount is a mount with the option `remount`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 32), regex(pattern = r"^[a-z-]+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub options: Vec<String>,

    /// source is the device, the directory to bind, or the word that stands there, such as `tmpfs`.
    /// Absent means any. Globs are those of filesystem.allowedPaths.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 4096),
        regex(pattern = r#"^([/@][^"\x00-\x1f\x7f]*|[a-zA-Z0-9_.-]+)$"#)
    )]
    pub source: Option<String>,

    /// target is the mount point; a directory ends in `/`. Absent means any. Globs are those of
    /// filesystem.allowedPaths.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 4096),
        regex(pattern = r#"^[/@][^"\x00-\x1f\x7f]*$"#)
    )]
    pub target: Option<String>,
}

/// Signal lists the signals which may be sent and received.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Signal {
    /// allowedSignals lists them. Both sides need a rule: the sender one to send, the receiver one
    /// to receive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub allowed_signals: Vec<SignalRule>,
}

/// SignalRule allows signals.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SignalRule {
    /// access says in which direction.
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub access: Vec<SignalAccess>,

    /// signals are names from signal(7) in lower case without `SIG`, such as `term`; `exists` for
    /// the test whether a process is there; or `rtmin+0` to `rtmin+32`. Absent means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 72),
        inner(length(min = 1, max = 16), regex(pattern = r"^[a-z0-9+]+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub signals: Vec<String>,

    /// peer is the profile of the other process, such as `unconfined` or `@{profile_name}`, which
    /// is this profile. `*` stands for any characters but `/`, `**` for any characters. Absent
    /// means any process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[a-zA-Z0-9_./*?@{}-]+$")
    )]
    pub peer: Option<String>,
}

/// The direction of a signal.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum SignalAccess {
    Send,
    Receive,
}

/// Ptrace lists which processes may be looked into and traced, and by which.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Ptrace {
    /// allowedTraces lists them. Both sides need a rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub allowed_traces: Vec<PtraceRule>,
}

/// PtraceRule allows to look into processes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PtraceRule {
    /// access says what is allowed: `Read` and `Trace` are for the process that looks, `ReadBy` and
    /// `TracedBy` for the one that is looked into. Reading is what a debugger does without
    /// attaching, such as reading links in /proc.
    #[schemars(length(min = 1, max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub access: Vec<PtraceAccess>,

    /// peer is the profile of the other process, as in signal.allowedSignals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[a-zA-Z0-9_./*?@{}-]+$")
    )]
    pub peer: Option<String>,
}

/// One way to look into a process.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum PtraceAccess {
    Read,
    Trace,
    ReadBy,
    TracedBy,
}

/// Unix lists the Unix sockets which may be used. Sockets with a path are files and need rules for
/// those instead.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Unix {
    /// allowedSockets lists them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub allowed_sockets: Vec<UnixRule>,
}

/// UnixRule allows the use of Unix sockets.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.peer) || has(self.peerAddress)) || self.access.all(access, \
             access in ['Connect', 'Accept', 'Send', 'Receive'])",
    "message": "with a peer, access is Connect, Accept, Send and Receive; put the others into a \
                rule without one",
}]))]
pub struct UnixRule {
    /// access lists what is allowed.
    #[schemars(length(min = 1, max = 12), extend("x-kubernetes-list-type" = "set"))]
    pub access: Vec<UnixAccess>,

    /// type of the socket. Absent means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<UnixType>,

    /// address of the own socket: `@` and a name for an abstract one, in which `*`, `?`, `[a-z]` and
    /// `{a,b}` have the meaning that they have in paths, or `none` for one without a name. Absent
    /// means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r#"^(none|@[^"\x00-\x1f\x7f]+)$"#)
    )]
    pub address: Option<String>,

    /// peer is the profile of the other process, as in signal.allowedSignals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[a-zA-Z0-9_./*?@{}-]+$")
    )]
    pub peer: Option<String>,

    /// peerAddress is the address of the other socket, as in address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r#"^(none|@[^"\x00-\x1f\x7f]+)$"#)
    )]
    pub peer_address: Option<String>,
}

/// One thing to do with a socket.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum UnixAccess {
    Create,
    Bind,
    Listen,
    Accept,
    Connect,
    Shutdown,
    GetAttr,
    SetAttr,
    GetOpt,
    SetOpt,
    Send,
    Receive,
}

/// The type of a socket.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum UnixType {
    Stream,
    Dgram,
    Seqpacket,
}
