//! The envelope of a record: what type it has, when it was made, and where its fields begin.
//!
//! Whom a line is believed depends on where it stands:
//!
//! | source | believed | because |
//! | --- | --- | --- |
//! | netlink | the type number of the message | the kernel sets it; text can not change it |
//! | auditd's file | a line that begins with `type=` or `node=… type=` (or `audit: type=`) | only auditd writes the file, and it writes text of programs inside `type=USER_…` lines, with spaces for line ends |
//! | syslog | a line whose tag is exactly `kernel:` and whose text begins with `audit: type=` | the tag is the fourth word; a program chooses its own tag, so that this is as good as the host's syslog socket is closed to containers |
//! | kernel log | a line of facility 0 whose text begins with `audit: type=` | the kernel does not let programs write as facility 0 |
//!
//! Everything else on a line is only ever a value.

use memchr::memchr;

use crate::field::decimal;
use crate::stamp::Stamp;

/// Where lines come from, which decides what of them is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// auditd's own file, `/var/log/audit/audit.log`, `log_format` RAW or ENRICHED.
    Auditd,
    /// A file of the host's syslog, with times as in RFC 3164 or RFC 3339.
    Syslog,
    /// The kernel log: `/dev/kmsg`, `/proc/kmsg`, or what dmesg prints.
    KernelLog,
}

/// The type of a record, as far as we tell types apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// 1326: a seccomp filter acted.
    Seccomp,
    /// 1400: SELinux or AppArmor decided; and what AppArmor of old kernels used, 1500 to 1507.
    Avc,
    /// 1107: a program tells of a decision it made by SELinux or AppArmor rules (D-Bus, systemd).
    UserAvc,
    /// 1300.
    Syscall,
    /// 1302.
    Path,
    /// 1307.
    Cwd,
    /// 1327.
    Proctitle,
    /// 1320: the event is complete.
    EndOfEvent,
    /// 1005, 1100 to 1199, 2100 to 2999: text of a program.
    User,
    /// Everything else.
    Other,
}

/// One record: its envelope, and its fields not yet looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// What it is.
    pub kind: Kind,
    /// When it was made, and its event.
    pub stamp: Stamp<'a>,
    /// The fields, without what auditd's ENRICHED format appends.
    pub(crate) body: &'a [u8],
    /// When the kernel printed it, as text, if it came through the kernel log.
    pub(crate) printed: Option<&'a [u8]>,
}

/// auditd puts this between the kernel's text and what it appends.
const ENRICHMENT: u8 = 0x1d;

/// Reads the envelope of a line, or says that it is none of the kernel's audit.
pub(crate) fn line(source: Source, bytes: &[u8]) -> Option<Line<'_>> {
    match source {
        Source::Auditd if bytes.starts_with(b"audit: ") => printed(bytes),
        Source::Auditd => auditd(bytes),
        Source::Syslog => printed(after_syslog_header(bytes)?),
        Source::KernelLog => printed(after_priority(bytes)?),
    }
}

/// Reads a message of the kernel's audit socket: its type, and its text
/// `audit(STAMP): FIELDS` with the zero byte that may end it.
pub(crate) fn message(number: u16, text: &[u8]) -> Option<Line<'_>> {
    let text = text.trim_ascii_end();
    let end = text.iter().rposition(|byte| *byte != 0)? + 1;
    let (stamp, body) = Stamp::read(text.get(..end)?)?;
    Some(Line {
        kind: Kind::of_number(number),
        stamp,
        body: body.trim_ascii_end(),
        printed: None,
    })
}

/// `[node=NAME ]type=NAME msg=audit(STAMP): FIELDS[0x1D MORE]`
fn auditd(bytes: &[u8]) -> Option<Line<'_>> {
    let bytes = match bytes.strip_prefix(b"node=") {
        Some(named) => named.get(memchr(b' ', named)? + 1..)?,
        None => bytes,
    };
    let (name, rest) = word(bytes.strip_prefix(b"type=")?)?;
    let (stamp, body) = Stamp::read(rest.strip_prefix(b"msg=")?)?;
    let body = match memchr(ENRICHMENT, body) {
        Some(end) => body.get(..end)?,
        None => body,
    };
    Some(Line {
        kind: Kind::of_name(name),
        stamp,
        body: body.trim_ascii_end(),
        printed: None,
    })
}

/// `[[ SECONDS.MICROS] ]audit: type=NUMBER audit(STAMP): FIELDS`
fn printed(bytes: &[u8]) -> Option<Line<'_>> {
    let (printed, bytes) = match bytes.strip_prefix(b"[") {
        Some(rest) => {
            let (time, rest) = rest.split_at_checked(memchr(b']', rest.get(..24)?)?)?;
            (Some(time.trim_ascii()), rest.strip_prefix(b"] ")?)
        }
        None => (None, bytes),
    };
    let (number, rest) = word(bytes.strip_prefix(b"audit: type=")?)?;
    let (stamp, body) = Stamp::read(rest)?;
    Some(Line {
        kind: Kind::of_number(decimal(number)?.try_into().ok()?),
        stamp,
        body: body.trim_ascii_end(),
        printed,
    })
}

/// `Nov 14 22:13:20 HOST kernel: ` or `2023-11-14T22:13:20.123456+00:00 HOST kernel: `
fn after_syslog_header(bytes: &[u8]) -> Option<&[u8]> {
    let rest = if bytes.first()?.is_ascii_digit() {
        word(bytes)?.1
    } else {
        let (month, rest) = word(bytes)?;
        // Days below 10 are filled up with a space.
        let (day, rest) = word(rest.strip_prefix(b" ").unwrap_or(rest))?;
        let (time, rest) = word(rest)?;
        if month.len() != 3 || day.len() > 2 || time.len() < 8 {
            return None;
        }
        rest
    };
    let (_host, rest) = word(rest)?;
    let rest = rest.strip_prefix(b"kernel:")?;
    Some(rest.strip_prefix(b" ").unwrap_or(rest))
}

/// `<LEVEL>` of /proc/kmsg, or `PRIORITY,SEQUENCE,MICROS,FLAGS[,…];` of /dev/kmsg, or nothing.
/// Facility 0 is the kernel's; the lower three bits are the level.
fn after_priority(bytes: &[u8]) -> Option<&[u8]> {
    let is_kernel = |priority: &[u8]| decimal(priority).is_some_and(|priority| priority < 8);
    if let Some(rest) = bytes.strip_prefix(b"<") {
        let (priority, rest) = rest.split_at_checked(memchr(b'>', rest.get(..4)?)?)?;
        return is_kernel(priority).then_some(rest.get(1..)?);
    }
    if bytes.first()?.is_ascii_digit() {
        let (header, rest) = bytes.split_at_checked(memchr(b';', bytes)?)?;
        let priority = header.get(..memchr(b',', header)?)?;
        return is_kernel(priority).then_some(rest.get(1..)?);
    }
    Some(bytes)
}

/// A word, and what follows the space after it.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, rest) = bytes.split_at_checked(memchr(b' ', bytes)?)?;
    Some((word, rest.get(1..)?)).filter(|_| !word.is_empty())
}

impl Kind {
    /// By the numbers of include/uapi/linux/audit.h and of libaudit.h.
    fn of_number(number: u16) -> Self {
        match number {
            1326 => Self::Seccomp,
            1400 | 1500..=1507 => Self::Avc,
            1107 => Self::UserAvc,
            1300 => Self::Syscall,
            1302 => Self::Path,
            1307 => Self::Cwd,
            1327 => Self::Proctitle,
            1320 => Self::EndOfEvent,
            1005 | 1100..=1199 | 2100..=2999 => Self::User,
            _ => Self::Other,
        }
    }

    /// By the names which auditd writes; a type it does not know is `UNKNOWN[NUMBER]`.
    fn of_name(name: &[u8]) -> Self {
        match name {
            b"SECCOMP" => Self::Seccomp,
            b"AVC" => Self::Avc,
            b"USER_AVC" => Self::UserAvc,
            b"SYSCALL" => Self::Syscall,
            b"PATH" => Self::Path,
            b"CWD" => Self::Cwd,
            b"PROCTITLE" => Self::Proctitle,
            b"EOE" => Self::EndOfEvent,
            name if name.starts_with(b"APPARMOR") => Self::Avc,
            name if name.starts_with(b"USER") => Self::User,
            name => name
                .strip_prefix(b"UNKNOWN[")
                .and_then(|rest| rest.strip_suffix(b"]"))
                .and_then(decimal)
                .and_then(|number| number.try_into().ok())
                .map_or(Self::Other, Self::of_number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "audit: type=1326 audit(1.123:4): pid=1";

    fn check(source: Source, line_text: &str, expected: Option<Kind>) {
        let found = line(source, line_text.as_bytes());
        assert_eq!(found.map(|line| line.kind), expected, "{line_text}");
        if let Some(line) = found {
            assert_eq!(line.body, b"pid=1", "{line_text}");
            assert_eq!(line.stamp.serial, Some(4), "{line_text}");
        }
    }

    #[test]
    fn lines_of_auditd() {
        let check = |line, kind| check(Source::Auditd, line, kind);
        check(
            "type=SECCOMP msg=audit(1.123:4): pid=1",
            Some(Kind::Seccomp),
        );
        check("node=a type=AVC msg=audit(1.123:4): pid=1", Some(Kind::Avc));
        check(
            "type=APPARMOR_DENIED msg=audit(1.123:4): pid=1",
            Some(Kind::Avc),
        );
        check(
            "type=UNKNOWN[1326] msg=audit(1.123:4): pid=1",
            Some(Kind::Seccomp),
        );
        check(
            "type=UNKNOWN[x] msg=audit(1.123:4): pid=1",
            Some(Kind::Other),
        );
        check(
            "type=USER_LOGIN msg=audit(1.123:4): pid=1",
            Some(Kind::User),
        );
        check("type=LOGIN msg=audit(1.123:4): pid=1\n", Some(Kind::Other));
        check(
            "type=SECCOMP msg=audit(1.123:4): pid=1\u{1d}UID=\"a\"",
            Some(Kind::Seccomp),
        );
        check(TEXT, Some(Kind::Seccomp));
        check("x type=SECCOMP msg=audit(1.123:4): pid=1", None);
        check("type=SECCOMP audit(1.123:4): pid=1", None);
        check("type=SECCOMP  msg=audit(1.123:4): pid=1", None);
    }

    #[test]
    fn lines_of_syslog() {
        let check = |header: &str, kind| {
            let line = format!("{header}{TEXT}");
            check(Source::Syslog, &line, kind);
        };
        check(
            "Nov 14 22:13:20 worker-2 kernel: [ 9341.120004] ",
            Some(Kind::Seccomp),
        );
        check("Nov  4 22:13:20 worker-2 kernel: ", Some(Kind::Seccomp));
        check(
            "2023-11-14T22:13:20.123456+00:00 worker-2 kernel: ",
            Some(Kind::Seccomp),
        );
        check(
            "2023-11-14T22:13:20.123456+00:00 worker-2 kernel: [    9.120004] ",
            Some(Kind::Seccomp),
        );
        check("", None);
        check("kernel: ", None);
        check("Nov 14 22:13:20 worker-2 app: kernel: ", None);
        check("Nov 14 22:13:20 worker-2 kernel[1]: ", None);
        check("Nov 14 22:13:20 worker-2 app[1]: ", None);
        check("Nov 14 22:13:20 worker-2 kernel: usb 1-1: ", None);
        check("Nov 14 22:13:20 worker-2 kernel: [1.0] x [2.0] ", None);
    }

    #[test]
    fn lines_of_the_kernel_log() {
        let check = |header: &str, kind| {
            let line = format!("{header}{TEXT}");
            check(Source::KernelLog, &line, kind);
        };
        check("", Some(Kind::Seccomp));
        check("[   12.000001] ", Some(Kind::Seccomp));
        check("<5>[   12.000001] ", Some(Kind::Seccomp));
        check("5,384,20930774156,-;", Some(Kind::Seccomp));
        // Facility 1 and up are programs.
        check("<13>[   12.000001] ", None);
        check("12,384,20930774156,-;", None);
        check("                  ", None);
    }

    #[test]
    fn messages_of_the_audit_socket() {
        let found = message(1326, b"audit(1.123:4): pid=1\0").unwrap();
        assert_eq!((found.kind, found.body), (Kind::Seccomp, &b"pid=1"[..]));
        assert_eq!(message(1326, b"\0"), None);
        assert_eq!(message(1326, b""), None);
        // Whatever a program writes, the kernel says that a program wrote it.
        let forged = b"audit(1.123:4): pid=9 msg='x\naudit: type=1326 audit(1.123:5): pid=1'";
        assert_eq!(
            message(1105, forged).map(|line| line.kind),
            Some(Kind::User)
        );
    }
}
