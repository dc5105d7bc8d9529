//! Files of `/proc/<pid>` as values: which container a process belongs to, when it started, and
//! which exec request it came from.

use memchr::memmem;

/// A container that a process may belong to, as its control group says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// 64 lower-case hexadecimal digits.
    pub container_id: &'a str,
    /// The pod whose control group this one is in.
    pub pod_uid: Option<String>,
}

/// The containers in the text of `/proc/<pid>/cgroup`, outermost first.
///
/// The first line that names a container counts, on cgroup v2 and on every hierarchy of v1. Where
/// runtimes are nested there are several, and upstream takes the last. A container that may make
/// control groups of its own can give one the name of somebody else's container, but only inside
/// its own: so take the first that is a container of a pod on this node, and the last only if no
/// list of containers is at hand.
///
/// Understood are containerd, CRI-O, Docker and Podman, with cgroupfs and with systemd; what is
/// around an ID does not matter. The pause container and conmon are candidates like any other; they
/// have the UID of their pod. Unlike upstream, a longer run of digits is no ID.
pub fn containers(cgroup: &[u8]) -> Vec<Candidate<'_>> {
    cgroup
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.splitn(3, |byte| *byte == b':').nth(2))
        .map(candidates)
        .find(|candidates| !candidates.is_empty())
        .unwrap_or_default()
}

/// Why the start of a process can not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid proc stat format for pid: {pid}")]
pub struct InvalidStat {
    /// The process.
    pub pid: u32,
}

/// When a process started, in clock ticks since the machine did: field 22 of `/proc/<pid>/stat`.
///
/// The second field is the name of the program in parentheses, in which anything may stand; so
/// fields are counted from the last closing one.
pub fn start_time(pid: u32, stat: &[u8]) -> Result<u64, InvalidStat> {
    let after_name = memchr::memrchr(b')', stat).and_then(|at| stat.get(at + 1..));
    after_name
        .unwrap_or_default()
        .split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty())
        .nth(19)
        .and_then(crate::field::decimal)
        .ok_or(InvalidStat { pid })
}

/// The command line of `/proc/<pid>/cmdline`, with a space after each argument.
pub fn command_line(cmdline: &[u8]) -> String {
    String::from_utf8_lossy(cmdline).replace('\0', " ")
}

/// The variable by which the exec webhooks tell a session from which request it came.
const REQUEST_UID: &[u8] = b"SPO_EXEC_REQUEST_UID=";

/// The exec request of a process: from its environment (`/proc/<pid>/environ`), or else from its
/// command line (`/proc/<pid>/cmdline`, or the same with spaces instead of zero bytes).
///
/// The process can write there what it wants; the UID is a hint that API server's log confirms. It
/// is at most 64 letters, digits and `-`, as UIDs of Kubernetes are; anything else is none.
pub fn request_uid<'a>(environ: &'a [u8], cmdline: &'a [u8]) -> Option<&'a str> {
    let in_environ = environ
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(REQUEST_UID))
        .and_then(uid);
    in_environ.or_else(|| {
        let at = memmem::find(cmdline, REQUEST_UID)? + REQUEST_UID.len();
        let is_end = |byte: &u8| matches!(byte, 0 | b' ' | b'\t' | b'\r' | b'\n');
        uid(cmdline.get(at..)?.split(is_end).next()?)
    })
}

fn uid(text: &[u8]) -> Option<&str> {
    let is_uid = (1..=64).contains(&text.len())
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    str::from_utf8(text).ok().filter(|_| is_uid)
}

fn candidates(path: &[u8]) -> Vec<Candidate<'_>> {
    let mut found: Vec<Candidate<'_>> = Vec::new();
    let mut pod = None;
    for component in path.split(|byte| *byte == b'/') {
        if let Some(uid) = pod_uid(component) {
            pod = Some(uid);
        }
        let words = component.split(|byte| !byte.is_ascii_alphanumeric());
        for word in words.filter(|word| is_container_id(word)) {
            if let Ok(container_id) = str::from_utf8(word) {
                found.push(Candidate {
                    container_id,
                    pod_uid: pod.clone(),
                });
            }
        }
    }
    found
}

fn is_container_id(word: &[u8]) -> bool {
    word.len() == 64 && word.iter().all(is_hex_digit)
}

/// `podUID` with cgroupfs; `[…-]kubepods[-CLASS]-podUID.slice` with systemd, which writes `_` for
/// `-`.
fn pod_uid(component: &[u8]) -> Option<String> {
    let uid = match memmem::rfind(component, b".slice") {
        Some(end) => {
            let slice = component.get(..end)?;
            slice.get(memmem::rfind(slice, b"-pod")? + 4..)?
        }
        None => component.strip_prefix(b"pod")?,
    };
    let uid: String = uid
        .iter()
        .map(|byte| {
            if *byte == b'_' {
                '-'
            } else {
                char::from(*byte)
            }
        })
        .collect();
    // A static pod has the digest of its manifest instead of a UUID.
    let is_digest = uid.len() == 32 && uid.bytes().all(|byte| is_hex_digit(&byte));
    let is_uuid = uid.len() == 36
        && uid.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => is_hex_digit(&byte),
        });
    (is_digest || is_uuid).then_some(uid)
}

fn is_hex_digit(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests;
