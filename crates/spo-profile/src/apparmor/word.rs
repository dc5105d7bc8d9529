//! Pure. Words of AppArmor's language that are chosen from a list, and names of profiles.

use std::fmt;

use spo_api::apparmor_profile::rules::{
    FileAccess, PtraceAccess, SignalAccess, UnixAccess, UnixType,
};

use super::problem::Wrong;

/// The name of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let is_word = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte));
        let message = || format!("invalid profile name: {text:?}");
        if !is_word {
            let fix = "use letters, digits and _ . / - only";
            return Err(Wrong::new(message(), fix));
        }
        if text == "unconfined" {
            let fix = "name a profile: the kernel calls tasks so which have none";
            return Err(Wrong::new(message(), fix));
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The profile of another process, or a pattern for its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label(String);

/// The variable which every profile has.
const PROFILE_NAME: &str = "@{profile_name}";

impl Label {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let rest = text.replace(PROFILE_NAME, "");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./*?-".contains(&byte);
        if text.is_empty() || text.len() > 512 || !rest.bytes().all(is_plain) {
            return Err(Wrong::new(
                format!("validating peer: bad profile name: {text:?}"),
                "use letters, digits and _ . / - * ? or @{profile_name}, at most 512 bytes",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signal(String);

/// The names of signals in AppArmor (apparmor.d(5)).
pub(super) const SIGNALS: [&str; 33] = [
    "hup", "int", "quit", "ill", "trap", "abrt", "bus", "fpe", "kill", "usr1", "segv", "usr2",
    "pipe", "alrm", "term", "stkflt", "chld", "cont", "stop", "stp", "ttin", "ttou", "urg", "xcpu",
    "xfsz", "vtalrm", "prof", "winch", "io", "pwr", "sys", "emt", "exists",
];

impl Signal {
    /// The highest real-time signal is `rtmin+32`.
    const RTMIN_MAX: u8 = 32;

    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let number = text.strip_prefix("rtmin+").map(str::parse::<u8>);
        let is_real_time = number.is_some_and(|number| {
            // Written as AppArmor does, without a sign and zeros before it.
            number.is_ok_and(|n| n <= Self::RTMIN_MAX && text == format!("rtmin+{n}"))
        });
        if SIGNALS.contains(&text) || is_real_time {
            return Ok(Self(text.to_owned()));
        }
        Err(Wrong::new(
            format!("validating signal: no such signal: {text:?}"),
            "write a name from signal(7) in lower case without SIG, for example term, or exists, \
             or rtmin+0 to rtmin+32",
        ))
    }
}

/// A type of file systems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FsType(String);

impl FsType {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(is_plain) {
            return Err(Wrong::new(
                format!("validating mount: bad type of file system: {text:?}"),
                "write a type as in /proc/filesystems, for example tmpfs",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// An option of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MountOption(pub(super) &'static str);

/// The options of mounts which every version of AppArmor knows (apparmor.d(5)).
pub(super) const MOUNT_OPTIONS: [&str; 36] = [
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "sync",
    "async",
    "remount",
    "mand",
    "nomand",
    "dirsync",
    "noatime",
    "atime",
    "nodiratime",
    "diratime",
    "bind",
    "rbind",
    "move",
    "silent",
    "loud",
    "relatime",
    "norelatime",
    "iversion",
    "noiversion",
    "strictatime",
    "make-unbindable",
    "make-runbindable",
    "make-private",
    "make-rprivate",
    "make-slave",
    "make-rslave",
    "make-shared",
    "make-rshared",
];

impl MountOption {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let known = MOUNT_OPTIONS.into_iter().find(|known| *known == text);
        known.map(Self).ok_or_else(|| {
            Wrong::new(
                format!("validating mount: no such option: {text:?}"),
                "write an option of mount(8) that does not depend on the file system, for example \
                 ro, bind or make-private",
            )
        })
    }

    /// Whether the option makes the mount something else than a new mount of a file system.
    pub(super) fn is_operation(self) -> bool {
        self.0.starts_with("make-") || ["bind", "rbind", "move"].contains(&self.0)
    }

    /// Whether nothing can have both options.
    pub(super) fn contradicts(self, other: Self) -> bool {
        const OPPOSITES: [(&str, &str); 3] = [("ro", "rw"), ("sync", "async"), ("silent", "loud")];
        let negates = |one: Self, other: Self| one.0.strip_prefix("no") == Some(other.0);
        let is_pair = |pair: &(&str, &str)| [*pair, (pair.1, pair.0)].contains(&(self.0, other.0));
        negates(self, other) || negates(other, self) || OPPOSITES.iter().any(is_pair)
    }
}

macro_rules! words {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

words!(Name, Signal, FsType, MountOption);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// The letters of some ways to use a file. To write is to append, too, and AppArmor takes only one
/// of the two letters.
pub(super) fn letters(access: &[FileAccess]) -> String {
    let order = [
        (FileAccess::Read, 'r'),
        (FileAccess::Write, 'w'),
        (FileAccess::Append, 'a'),
        (FileAccess::Map, 'm'),
        (FileAccess::Link, 'l'),
        (FileAccess::Lock, 'k'),
    ];
    let writes = access.contains(&FileAccess::Write);
    let named = order.into_iter().filter(|(each, _)| access.contains(each));
    named
        .filter(|(each, _)| !(writes && *each == FileAccess::Append))
        .map(|(_, letter)| letter)
        .collect()
}

/// The word for the direction of a signal.
pub(super) fn signal(access: SignalAccess) -> &'static str {
    match access {
        SignalAccess::Send => "send",
        SignalAccess::Receive => "receive",
    }
}

/// The word for a way to look into a process.
pub(super) fn ptrace(access: PtraceAccess) -> &'static str {
    match access {
        PtraceAccess::Read => "read",
        PtraceAccess::Trace => "trace",
        PtraceAccess::ReadBy => "readby",
        PtraceAccess::TracedBy => "tracedby",
    }
}

/// The word for something to do with a socket.
pub(super) fn unix(access: UnixAccess) -> &'static str {
    match access {
        UnixAccess::Create => "create",
        UnixAccess::Bind => "bind",
        UnixAccess::Listen => "listen",
        UnixAccess::Accept => "accept",
        UnixAccess::Connect => "connect",
        UnixAccess::Shutdown => "shutdown",
        UnixAccess::GetAttr => "getattr",
        UnixAccess::SetAttr => "setattr",
        UnixAccess::GetOpt => "getopt",
        UnixAccess::SetOpt => "setopt",
        UnixAccess::Send => "send",
        UnixAccess::Receive => "receive",
    }
}

/// The word for a type of sockets.
pub(super) fn unix_type(kind: UnixType) -> &'static str {
    match kind {
        UnixType::Stream => "stream",
        UnixType::Dgram => "dgram",
        UnixType::Seqpacket => "seqpacket",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_one_spelling() {
        for text in ["term", "exists", "rtmin+0", "rtmin+32"] {
            assert!(Signal::parse(text).is_ok(), "{text}");
        }
        for text in [
            "", "TERM", "sigterm", "9", "rtmin+33", "rtmin+00", "rtmin++1", "kill)",
        ] {
            assert!(Signal::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_are_names_or_patterns() {
        for text in ["unconfined", "docker-*", "a//b", "@{profile_name}", "**"] {
            assert!(Label::parse(text).is_ok(), "{text}");
        }
        for text in [
            "", "a b", "a\"", ":ns:a", "a//&b", "@{pid}", "{a,b}", "a,", "a\n",
        ] {
            assert!(Label::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_words() {
        for text in ["a", "a.b-c_d/e", "/usr/bin/man"] {
            assert!(Name::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "a b",
            "a,",
            "a{",
            "unconfined",
            ":ns:a",
            "a\n",
            "é",
            "\"a\"",
        ] {
            let message = Name::parse(text).expect_err(text).message;
            assert_eq!(message, format!("invalid profile name: {text:?}"));
        }
    }

    #[test]
    fn to_write_is_to_append() {
        use FileAccess::*;
        assert_eq!(letters(&[Lock, Append, Write, Read, Link, Map]), "rwmlk");
        assert_eq!(letters(&[Append]), "a");
    }

    #[test]
    fn contradictions_are_seen_from_both_sides() {
        let option = |text| MountOption::parse(text).unwrap();
        for (one, other) in [("ro", "rw"), ("suid", "nosuid"), ("async", "sync")] {
            assert!(option(one).contradicts(option(other)), "{one} {other}");
            assert!(option(other).contradicts(option(one)), "{one} {other}");
        }
        assert!(!option("ro").contradicts(option("nosuid")));
    }
}
