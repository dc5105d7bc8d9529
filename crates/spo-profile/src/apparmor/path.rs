//! Pure. The paths of the contracted lists, with the few globs which those allow.

use std::fmt;

use super::glob::is_variable;
use super::problem::Wrong;

/// A path of which every character means in a profile what it meant in the field. `Display` quotes
/// it where that takes quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(String);

/// What an entry of `readWritePaths` can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A path.
    Path(Path),
    /// `ptrace (read),`: the access of a rule about ptrace, which manifests for upstream, that has
    /// no field for it, put among the paths.
    Ptrace(&'static str),
}

/// The kinds of access of a rule about ptrace, as they are spelt in a path list.
const PTRACE: [&str; 7] = ["read", "r", "trace", "readby", "tracedby", "rw", "w"];

const SAFE: &str = "start with /, and use letters, digits, spaces and _ . / * ? + @ - only, and \
                    braces only for a variable, as in @{PROC}";

const TRAVERSAL: &str = "write the path without /../, as the kernel compares whole paths";

const MOVE_PTRACE: &str = "put rules about ptrace into spec.abstract.ptrace";

impl Path {
    /// Reads an entry of `readOnlyPaths` or `writeOnlyPaths`.
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        match ptrace(text) {
            // The second rule of these lists would deny it.
            Some(_) => Err(unsafe_characters(text, MOVE_PTRACE)),
            None if !is_safe(text) => Err(unsafe_characters(text, SAFE)),
            None if is_traversal(text) => Err(Wrong::new(
                format!("validating path: path cannot contain directory traversal: {text:?}"),
                TRAVERSAL,
            )),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// Reads an entry of the lists of programs and libraries.
    pub(super) fn parse_executable(text: &str) -> Result<Self, Wrong> {
        if !is_safe(text) {
            return Err(Wrong::new(
                format!(
                    "validating execs and libs: path must be absolute and contain only safe \
                     characters: {text:?}"
                ),
                SAFE,
            ));
        }
        if is_traversal(text) {
            return Err(Wrong::new(
                format!(
                    "validating execs and libs: path cannot contain directory traversal: {text:?}"
                ),
                TRAVERSAL,
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Entry {
    /// Reads an entry of `readWritePaths`.
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        match ptrace(text) {
            Some(access) => PTRACE
                .into_iter()
                .find(|known| *known == access)
                .map(Self::Ptrace)
                .ok_or_else(|| unsafe_characters(text, MOVE_PTRACE)),
            None => Path::parse(text).map(Self::Path),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(' ') {
            write!(f, "\"{}\"", self.0)
        } else {
            f.write_str(&self.0)
        }
    }
}

fn unsafe_characters(text: &str, fix: &'static str) -> Wrong {
    Wrong::new(
        format!("validating path: path must contain only safe characters: {text:?}"),
        fix,
    )
}

/// The letters in `ptrace (letters),`, which a comment may follow. The comment never reaches the
/// profile, because `#include` is one to look at.
fn ptrace(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("ptrace")?.trim_start();
    let (access, rest) = rest.strip_prefix('(')?.split_once(')')?;
    let comment = rest.strip_prefix(',')?.trim_start();
    let is_comment = comment.is_empty() || comment.starts_with('#') && !comment.contains('\n');
    (is_comment && !access.is_empty() && access.bytes().all(|byte| byte.is_ascii_alphabetic()))
        .then_some(access)
}

/// Whether a path has no character that means more in a profile than the field promises: it is one
/// word or can be quoted as it is, and its braces are those of variables.
fn is_safe(text: &str) -> bool {
    text.starts_with('/') && without_variables(text).is_some_and(|rest| rest.bytes().all(is_plain))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./*?+@ -".contains(&byte)
}

/// A path without its variables, or nothing if one of them is not whole.
fn without_variables(text: &str) -> Option<String> {
    let mut parts = text.split("@{");
    let mut rest = parts.next()?.to_owned();
    for part in parts {
        let (name, after) = part.split_once('}')?;
        if !is_variable(name) {
            return None;
        }
        rest.push_str(after);
    }
    Some(rest)
}

/// As contracted, and also where the path ends in `/..`.
fn is_traversal(text: &str) -> bool {
    text.split('/').any(|part| part == "..") || text.starts_with("/..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_paths_stay_as_they_are() {
        for (text, written) in [
            ("/", "/"),
            ("/bin/busybox", "/bin/busybox"),
            ("/lib/*.so.?", "/lib/*.so.?"),
            ("/@{pid}/task/@{tid}/attr", "/@{pid}/task/@{tid}/attr"),
            ("/var/lib/**", "/var/lib/**"),
            ("/a b/c", "\"/a b/c\""),
            ("/c++@host-1_2", "/c++@host-1_2"),
            ("/a..b/...", "/a..b/..."),
        ] {
            assert_eq!(Path::parse(text).unwrap().to_string(), written);
            assert_eq!(Path::parse_executable(text).unwrap().to_string(), written);
        }
    }

    #[test]
    fn whatever_could_end_a_rule_is_refused() {
        for text in [
            "",
            "bin/sh",
            "@{PROC}/x",
            "/a,",
            "/a r,\n/b",
            "/a\n",
            "/a\r",
            "/a\t",
            "/a\0",
            "/a\"",
            "/a\\",
            "/a}",
            "/{a}",
            "/{a,b}",
            "/@{pid",
            "/@{}",
            "/@{p id}",
            "/@{@{pid}}",
            "/@{1}",
            "/a#b",
            "/a:b",
            "/[ab]",
            "/é",
            "#include <x>",
            "ptrace",
            "ptrace (read)",
            "ptrace (read), /a rw,",
            "ptrace (read),\n#include <abstractions/base>\n",
            "ptrace (read),#\n/** rwix",
            "ptrace (read, trace),",
            "ptrace (bogus),",
        ] {
            assert_eq!(
                Entry::parse(text).unwrap_err().message,
                format!("validating path: path must contain only safe characters: {text:?}")
            );
            assert_eq!(
                Path::parse_executable(text).unwrap_err().message,
                format!(
                    "validating execs and libs: path must be absolute and contain only safe \
                     characters: {text:?}"
                )
            );
        }
    }

    #[test]
    fn a_path_does_not_go_up() {
        for text in ["/a/../b", "/..", "/../a", "/a/..", "/..a"] {
            assert_eq!(
                Path::parse(text).unwrap_err().message,
                format!("validating path: path cannot contain directory traversal: {text:?}")
            );
            assert_eq!(
                Path::parse_executable(text).unwrap_err().message,
                format!(
                    "validating execs and libs: path cannot contain directory traversal: {text:?}"
                )
            );
        }
    }

    #[test]
    fn a_rule_about_ptrace_loses_its_comment() {
        for text in [
            "ptrace (read),",
            "ptrace(read),",
            "ptrace  (read),  # to look at others",
            "ptrace (read), #include <abstractions/base>",
            "ptrace (read),\n#include <abstractions/base>",
        ] {
            assert_eq!(Entry::parse(text), Ok(Entry::Ptrace("read")), "{text}");
            assert!(Path::parse(text).is_err(), "{text}");
            assert!(Path::parse_executable(text).is_err(), "{text}");
        }
    }
}
