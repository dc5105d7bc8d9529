//! A spec as the file which container runtimes load, and what is made of the same text.
//!
//! The bytes are those of the upstream operator, which is Go's encoding/json: members in the order
//! of the fields, nothing that is empty or zero (except `index`), no white space, no final newline,
//! and `<`, `>`, `&`, U+2028 and U+2029 escaped (contract 02a, 2.7). `state` and `baseProfileName`
//! are in the file as well; runtimes ignore them.
//! Format: OCI runtime-spec 1.2, config-linux.md#seccomp.

use std::io;

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::ser::Formatter;
use sha2::{Digest, Sha256};
use spo_api::seccomp_profile::{Action, Arg, DesiredState, Operator, SeccompProfileSpec, Syscall};

/// Renders a profile, whose base profiles are resolved, as the file on the node.
///
/// Byte-stable: equal specs give equal bytes, so that a digest decides whether to write.
pub fn render(spec: &SeccompProfileSpec) -> Vec<u8> {
    let SeccompProfileSpec {
        state,
        base_profile_name,
        default_action,
        architectures,
        listener_path,
        listener_metadata,
        syscalls,
        flags,
    } = spec;
    to_json(&FileOut {
        state: *state,
        base_profile_name: base_profile_name.as_deref().unwrap_or_default(),
        default_action: *default_action,
        architectures,
        listener_path: listener_path.as_deref().unwrap_or_default(),
        listener_metadata: listener_metadata.as_deref().unwrap_or_default(),
        syscalls: EntriesOut(syscalls),
        flags,
    })
}

/// The SHA-256 of a rendered file.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The value of the annotation `syscalls`: the system calls as they are in the file, or `null`.
pub fn syscalls_annotation(syscalls: &[Syscall]) -> String {
    if syscalls.is_empty() {
        return "null".to_owned();
    }
    String::from_utf8(to_json(&EntriesOut(syscalls))).expect("serde_json writes UTF-8")
}

/// How each rendered file begins, whoever rendered it.
const RENDERED_PREFIX: &[u8] = br#"{"state":""#;

/// Larger files are not looked at. An object in etcd, from which a file is rendered, has at most
/// 1.5 MiB.
const RENDERED_MAX: usize = 4 << 20;

/// Whether a file in the operator directory was rendered by an operator, ours or upstream's, so
/// that it may be removed when its profile is gone.
///
/// What people put there themselves is no less a profile, but has no `state` as its first member;
/// in doubt the answer is no.
pub fn is_rendered(bytes: &[u8]) -> bool {
    bytes.len() <= RENDERED_MAX
        && bytes.starts_with(RENDERED_PREFIX)
        && serde_json::from_slice::<RenderedIn>(bytes).is_ok()
}

/// The members of a rendered file, as far as they tell who rendered it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it parses is of interest")]
struct RenderedIn {
    state: DesiredState,
    base_profile_name: Option<IgnoredAny>,
    default_action: Action,
    architectures: Option<IgnoredAny>,
    listener_path: Option<IgnoredAny>,
    listener_metadata: Option<IgnoredAny>,
    syscalls: Option<IgnoredAny>,
    flags: Option<IgnoredAny>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileOut<'a> {
    state: DesiredState,
    #[serde(skip_serializing_if = "str::is_empty")]
    base_profile_name: &'a str,
    default_action: Action,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    architectures: &'a [spo_api::seccomp_profile::Arch],
    #[serde(skip_serializing_if = "str::is_empty")]
    listener_path: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    listener_metadata: &'a str,
    #[serde(skip_serializing_if = "EntriesOut::is_empty")]
    syscalls: EntriesOut<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    flags: &'a [spo_api::seccomp_profile::Flag],
}

struct EntriesOut<'a>(&'a [Syscall]);

impl EntriesOut<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for EntriesOut<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(EntryOut::of))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryOut<'a> {
    names: &'a [String],
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<ArgOut>,
}

impl<'a> EntryOut<'a> {
    fn of(entry: &'a Syscall) -> Self {
        let Syscall {
            names,
            action,
            errno_ret,
            args,
        } = entry;
        Self {
            names,
            action: *action,
            errno_ret: errno_ret.filter(|number| *number != 0),
            args: args.iter().map(ArgOut::of).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArgOut {
    index: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_two: Option<i64>,
    op: Operator,
}

impl ArgOut {
    fn of(arg: &Arg) -> Self {
        let Arg {
            index,
            value,
            value_two,
            op,
        } = arg;
        let not_zero = |operand: &i64| *operand != 0;
        Self {
            index: *index,
            value: value.filter(not_zero),
            value_two: value_two.filter(not_zero),
            op: *op,
        }
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![];
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, GoFormatter);
    value
        .serialize(&mut serializer)
        .expect("a Vec takes all bytes, and all keys are text");
    bytes
}

/// Escapes what Go escapes beyond JSON: text that could end a script element or a JavaScript line.
///
/// Source: Go 1.22, encoding/json, appendString with escapeHTML. Control characters are written
/// alike by both, and there is no invalid UTF-8 here.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((start, found)) = rest.char_indices().find(|(_, c)| is_escaped_by_go(*c)) {
            let (plain, tail) = rest.split_at(start);
            write!(writer, "{plain}\\u{:04x}", u32::from(found))?;
            rest = tail.get(found.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

fn is_escaped_by_go(c: char) -> bool {
    matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metadata: &str) -> String {
        let spec = SeccompProfileSpec {
            listener_metadata: Some(metadata.to_owned()),
            ..SeccompProfileSpec::default()
        };
        let file = String::from_utf8(render(&spec)).unwrap();
        let start = r#"{"state":"Enabled","defaultAction":"SCMP_ACT_ERRNO","listenerMetadata":""#;
        file.strip_prefix(start)
            .unwrap()
            .strip_suffix("\"}")
            .unwrap()
            .to_owned()
    }

    #[test]
    fn text_is_escaped_as_go_does() {
        for (plain, escaped) in [
            ("a<b>&c", r"a\u003cb\u003e\u0026c"),
            ("\u{2028}\u{2029}\u{202a}", "\\u2028\\u2029\u{202a}"),
            ("\"\\/", r#"\"\\/"#),
            ("\u{8}\u{c}\n\r\t", r"\b\f\n\r\t"),
            ("\0\u{1f}\u{7f}", "\\u0000\\u001f\u{7f}"),
            ("é\u{fffd}\u{10ffff}", "é\u{fffd}\u{10ffff}"),
            ("<", r"\u003c"),
        ] {
            assert_eq!(text(plain), escaped, "{plain:?}");
        }
    }

    #[test]
    fn the_annotation_is_the_list_or_null() {
        let entry = Syscall {
            names: vec!["read".to_owned()],
            action: Action::Allow,
            errno_ret: Some(0),
            args: vec![],
        };
        assert_eq!(syscalls_annotation(&[]), "null");
        let expected = r#"[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]"#;
        assert_eq!(syscalls_annotation(&[entry]), expected);
    }

    #[test]
    fn rendered_files_are_recognized() {
        let ours = render(&SeccompProfileSpec::default());
        assert!(is_rendered(&ours));
        assert_eq!(digest(&ours), digest(&ours.clone()));
        for (bytes, expected) in [
            (
                r#"{"state":"Disabled","defaultAction":"SCMP_ACT_LOG"}"#,
                true,
            ),
            (
                r#"{"state":"Enabled","baseProfileName":"b","defaultAction":"SCMP_ACT_LOG"}"#,
                true,
            ),
            (r#"{"defaultAction":"SCMP_ACT_LOG"}"#, false),
            (r#"{"state":"Enabled"}"#, false),
            (r#"{"state":"On","defaultAction":"SCMP_ACT_LOG"}"#, false),
            (r#"{"state":"Enabled","defaultAction":"ALLOW"}"#, false),
            (
                r#"{"state":"Enabled","defaultAction":"SCMP_ACT_LOG","mine":1}"#,
                false,
            ),
            (
                r#"{"state":"Enabled","defaultAction":"SCMP_ACT_LOG"}{}"#,
                false,
            ),
            (
                r#"{"state":"Enabled","defaultAction":"SCMP_ACT_LOG""#,
                false,
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_LOG","state":"Enabled"}"#,
                false,
            ),
            (
                r#"{ "state": "Enabled", "defaultAction": "SCMP_ACT_LOG"}"#,
                false,
            ),
            (r#"{"kubeletDir":"/var/lib/kubelet"}"#, false),
            ("", false),
        ] {
            assert_eq!(is_rendered(bytes.as_bytes()), expected, "{bytes}");
        }
        let mut long = ours;
        long.resize(RENDERED_MAX + 1, b' ');
        assert!(!is_rendered(&long));
        let deep = [
            br#"{"state":"Enabled","syscalls":"#.as_slice(),
            &[b'['; 100_000],
        ]
        .concat();
        assert!(!is_rendered(&deep));
    }
}
