//! The members of a document, and what becomes of each.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, de::IgnoredAny};
use spo_api::seccomp_profile::{Action, Arg, DesiredState, SeccompProfileSpec, Syscall};

use super::{Loss, ParseError, Parsed};

/// What runc and crun return where `defaultErrnoRet` is absent, and what a profile of ours does.
const EPERM: u64 = 1;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ParseError> {
    let document: DocumentIn =
        serde_json::from_slice(bytes).map_err(|error| ParseError::Json(error.to_string()))?;
    document.into_parsed()
}

/// Members that nobody gave a name here.
type Others = BTreeMap<String, IgnoredAny>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentIn {
    state: Option<serde_json::Value>,
    base_profile_name: Option<String>,
    default_action: Option<String>,
    default_errno_ret: Option<u64>,
    architectures: Option<Vec<String>>,
    arch_map: Option<serde_json::Value>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<EntryIn>>,
    flags: Option<Vec<String>>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryIn {
    names: Option<Vec<String>>,
    name: Option<String>,
    action: Option<String>,
    errno_ret: Option<u64>,
    args: Option<Vec<ArgIn>>,
    includes: Option<serde_json::Value>,
    excludes: Option<serde_json::Value>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArgIn {
    index: Option<u64>,
    value: Option<u64>,
    value_two: Option<u64>,
    op: Option<String>,
    #[serde(flatten)]
    others: Others,
}

impl DocumentIn {
    fn into_parsed(self) -> Result<Parsed, ParseError> {
        let Self {
            state,
            base_profile_name,
            default_action,
            default_errno_ret,
            architectures,
            arch_map,
            listener_path,
            listener_metadata,
            syscalls,
            flags,
            others,
        } = self;
        let mut losses = vec![];
        let default_action: Action = required("defaultAction", default_action)?;
        lost_default_errno(default_action, default_errno_ret, &mut losses);
        if arch_map.is_some_and(|map| !is_empty(&map)) {
            lose(
                &mut losses,
                "archMap",
                "the profile covers what `architectures` says instead",
            );
        }
        let state = state.map_or(DesiredState::Enabled, |state| {
            serde_json::from_value(state).unwrap_or_else(|_| {
                lose(
                    &mut losses,
                    "state",
                    "it is not the one of a SeccompProfile",
                );
                DesiredState::Enabled
            })
        });
        let spelled: &[_] = if default_errno_ret.is_some() {
            &["defaultErrno"]
        } else {
            &[]
        };
        lost_others("", &others, spelled, &mut losses);
        let mut entries = vec![];
        for (index, entry) in syscalls.unwrap_or_default().into_iter().enumerate() {
            entries.extend(entry.into_entry(&format!("syscalls[{index}]"), &mut losses)?);
        }
        let spec = SeccompProfileSpec {
            state,
            base_profile_name: not_empty(base_profile_name),
            default_action,
            architectures: known("architectures", architectures)?,
            listener_path: not_empty(listener_path),
            listener_metadata: not_empty(listener_metadata),
            syscalls: entries,
            flags: known("flags", flags)?,
        };
        Ok(Parsed { spec, losses })
    }
}

impl EntryIn {
    /// The entry, unless it applies to some containers only.
    fn into_entry(
        self,
        field: &str,
        losses: &mut Vec<Loss>,
    ) -> Result<Option<Syscall>, ParseError> {
        let Self {
            names,
            name,
            action,
            errno_ret,
            args,
            includes,
            excludes,
            others,
        } = self;
        let action: Action = required(&format!("{field}.action"), action)?;
        let names: Vec<String> = names.into_iter().flatten().chain(not_empty(name)).collect();
        if names.is_empty() {
            return Err(ParseError::Missing(format!("{field}.names")));
        }
        let spelled: &[_] = if errno_ret.is_some() { &["errno"] } else { &[] };
        lost_others(field, &others, spelled, losses);
        if errno_ret == Some(0) && matches!(action, Action::Errno | Action::Trace) {
            let message =
                "0 would make the call seem to succeed; the profile returns EPERM instead";
            lose(losses, format!("{field}.errnoRet"), message);
        }
        let mut parsed_args = vec![];
        for (index, arg) in args.unwrap_or_default().into_iter().enumerate() {
            parsed_args.push(arg.into_arg(&format!("{field}.args[{index}]"), losses)?);
        }
        let errno_ret = fits(&format!("{field}.errnoRet"), errno_ret, i32::MAX)?;
        for (name, filter) in [("includes", includes), ("excludes", excludes)] {
            if filter.is_some_and(|filter| !is_empty(&filter)) {
                let message = format!(
                    "the rule is for some containers only, so the profile does not have it: {}",
                    names.join(", ")
                );
                lose(losses, format!("{field}.{name}"), message);
                return Ok(None);
            }
        }
        Ok(Some(Syscall {
            names,
            action,
            errno_ret,
            args: parsed_args,
        }))
    }
}

impl ArgIn {
    fn into_arg(self, field: &str, losses: &mut Vec<Loss>) -> Result<Arg, ParseError> {
        let Self {
            index,
            value,
            value_two,
            op,
            others,
        } = self;
        lost_others(field, &others, &[], losses);
        Ok(Arg {
            index: fits(&format!("{field}.index"), index, i32::MAX)?.unwrap_or_default(),
            value: fits(&format!("{field}.value"), value, i64::MAX)?,
            value_two: fits(&format!("{field}.valueTwo"), value_two, i64::MAX)?,
            op: required(&format!("{field}.op"), op)?,
        })
    }
}

/// A number in the type of the API, where 0 is the same as absent.
fn fits<T>(field: &str, value: Option<u64>, max: T) -> Result<Option<T>, ParseError>
where
    T: TryFrom<u64>,
    u64: TryFrom<T>,
{
    let Some(value) = value.filter(|value| *value != 0) else {
        return Ok(None);
    };
    let too_large = || ParseError::TooLargeNumber {
        field: field.to_owned(),
        value,
        max: u64::try_from(max).unwrap_or_default(),
    };
    match T::try_from(value) {
        Ok(fitting) => Ok(Some(fitting)),
        Err(_) => Err(too_large()),
    }
}

fn required<T: FromStr>(field: &str, value: Option<String>) -> Result<T, ParseError> {
    let value = value.ok_or_else(|| ParseError::Missing(field.to_owned()))?;
    match value.parse() {
        Ok(known) => Ok(known),
        Err(_) => Err(ParseError::Unknown {
            field: field.to_owned(),
            value,
        }),
    }
}

fn known<T: FromStr>(field: &str, values: Option<Vec<String>>) -> Result<Vec<T>, ParseError> {
    let values = values.unwrap_or_default().into_iter().enumerate();
    values
        .map(|(index, value)| required(&format!("{field}[{index}]"), Some(value)))
        .collect()
}

fn not_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// What Go leaves at its zero value.
fn is_empty(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => true,
        serde_json::Value::Array(array) => array.is_empty(),
        serde_json::Value::Object(object) => object.values().all(is_empty),
        _ => false,
    }
}

fn lose(losses: &mut Vec<Loss>, field: impl Into<String>, message: impl Into<String>) {
    losses.push(Loss {
        field: field.into(),
        message: message.into(),
    });
}

fn lost_default_errno(default_action: Action, errno: Option<u64>, losses: &mut Vec<Loss>) {
    let returns = matches!(default_action, Action::Errno | Action::Trace);
    if let Some(errno) = errno.filter(|errno| returns && *errno != EPERM) {
        let message =
            format!("{errno} has no field; the default action of the profile returns EPERM");
        lose(losses, "defaultErrnoRet", message);
    }
}

/// Lists members without a counterpart, but for comments, and for the `spelled` name of a number
/// that is there as well.
fn lost_others(field: &str, others: &Others, spelled: &[&str], losses: &mut Vec<Loss>) {
    let prefix = if field.is_empty() {
        String::new()
    } else {
        format!("{field}.")
    };
    for name in others
        .keys()
        .filter(|name| *name != "comment" && !spelled.contains(&&***name))
    {
        lose(
            losses,
            format!("{prefix}{name}"),
            "a SeccompProfile has no such field",
        );
    }
}
