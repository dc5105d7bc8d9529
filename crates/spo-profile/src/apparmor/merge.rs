//! Pure. Union of two profiles, as recording makes one of what several containers did.
//!
//! A section which one profile lacks is that of the other. Paths which a pattern of the same list
//! covers are left out, and a path that one profile reads and the other writes is read and written
//! (contract 03, 6.3). State and mode are those of the left profile.
//!
//! What only our fields can say is united as well, but for denials: what one profile denies and the
//! other does not is not denied, so that the union is not stricter than its parts.

use std::collections::BTreeSet;

use spo_api::apparmor_profile::rules::{Mount, Ptrace, Signal, Unix};
use spo_api::apparmor_profile::{
    Abstract, AllowedProtocols, AppArmorProfileSpec, Capability, Executable, Filesystem, Network,
};

use super::problem::{Problems, Refused, Wrong};

/// Longer patterns cover nothing.
const PATTERN_MAX: usize = 4096;

/// The union of two profiles. All lists of text are sorted.
///
/// # Errors
/// One of them has a policy, an empty path or capability, a capability twice, or a path in two lists
/// of files.
pub fn unite(
    left: &AppArmorProfileSpec,
    right: &AppArmorProfileSpec,
) -> Result<AppArmorProfileSpec, Refused> {
    let (one, other) = (normal(left)?, normal(right)?);
    let united = Abstract {
        executable: both(one.executable, other.executable, executables),
        filesystem: both(one.filesystem, other.filesystem, files),
        network: both(one.network, other.network, network),
        capability: both(one.capability, other.capability, |one, other| Capability {
            allowed_capabilities: union(one.allowed_capabilities, other.allowed_capabilities),
        }),
        mount: both(one.mount, other.mount, |one, other| Mount {
            allowed_mounts: append(one.allowed_mounts, other.allowed_mounts),
            allowed_unmounts: union(one.allowed_unmounts, other.allowed_unmounts),
        }),
        signal: both(one.signal, other.signal, |one, other| Signal {
            allowed_signals: append(one.allowed_signals, other.allowed_signals),
        }),
        ptrace: both(one.ptrace, other.ptrace, |one, other| Ptrace {
            allowed_traces: append(one.allowed_traces, other.allowed_traces),
        }),
        unix: both(one.unix, other.unix, |one, other| Unix {
            allowed_sockets: append(one.allowed_sockets, other.allowed_sockets),
        }),
    };
    Ok(AppArmorProfileSpec {
        state: left.state,
        mode: left.mode,
        r#abstract: (left.r#abstract.is_some() || right.r#abstract.is_some()).then_some(united),
        policy: None,
    })
}

/// The section which both have, or the one that is there.
fn both<T>(one: Option<T>, other: Option<T>, unite: impl Fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(unite(one, other)),
        (one, other) => one.or(other),
    }
}

fn union(one: Vec<String>, other: Vec<String>) -> Vec<String> {
    let all: BTreeSet<String> = one.into_iter().chain(other).collect();
    all.into_iter().collect()
}

/// What `other` has and `one` has not comes last.
fn append<T: PartialEq>(mut one: Vec<T>, other: Vec<T>) -> Vec<T> {
    for item in other {
        if !one.contains(&item) {
            one.push(item);
        }
    }
    one
}

/// What both lists have.
fn common<T: PartialEq>(mut one: Vec<T>, other: &[T]) -> Vec<T> {
    one.retain(|item| other.contains(item));
    one
}

/// The rules with clean paths, each once, in order.
fn normal(spec: &AppArmorProfileSpec) -> Result<Abstract, Refused> {
    let mut problems = Problems::default();
    if spec.policy.is_some() {
        let wrong = Wrong::new("a policy can not be merged", "use spec.abstract");
        problems.push(super::POLICY, wrong);
    }
    let mut rules = spec.r#abstract.clone().unwrap_or_default();
    if let Some(executable) = &mut rules.executable {
        let field = |name: &str| format!("spec.abstract.executable.{name}");
        let lists = [
            ("allowedExecutables", &mut executable.allowed_executables),
            ("allowedLibraries", &mut executable.allowed_libraries),
        ];
        for (name, list) in lists {
            clean_all(&field(name), list, &mut problems);
            *list = covered(vec![], std::mem::take(list));
        }
    }
    if let Some(files) = &mut rules.filesystem {
        let field = |name: &str| format!("spec.abstract.filesystem.{name}");
        let mut seen = BTreeSet::new();
        let lists = [
            ("readOnlyPaths", &mut files.read_only_paths),
            ("writeOnlyPaths", &mut files.write_only_paths),
            ("readWritePaths", &mut files.read_write_paths),
        ];
        for (name, list) in lists {
            clean_all(&field(name), list, &mut problems);
            for path in list.iter().filter(|path| seen.contains(*path)) {
                let message = format!("validating path: path is in two lists: {path:?}");
                let fix = "name it once, in readWritePaths if it is read and written";
                problems.push(&field(name), Wrong::new(message, fix));
            }
            seen.extend(list.iter().cloned());
        }
    }
    if let Some(capability) = &mut rules.capability {
        let field = "spec.abstract.capability.allowedCapabilities";
        let names = &mut capability.allowed_capabilities;
        for name in names.iter_mut() {
            *name = name.trim().to_lowercase();
        }
        let distinct: BTreeSet<&String> = names.iter().collect();
        if distinct.len() < names.len() || names.iter().any(String::is_empty) {
            let message = "validating capability: empty or there twice";
            problems.push(field, Wrong::new(message, "name each capability once"));
        }
        names.sort();
    }
    problems.or(rules)
}

fn clean_all(field: &str, list: &mut Vec<String>, problems: &mut Problems) {
    if list.iter().any(String::is_empty) {
        let wrong = Wrong::new("validating path: path is empty", "remove it");
        problems.push(field, wrong);
    }
    let all: BTreeSet<String> = list.iter().map(|path| clean(path)).collect();
    *list = all.into_iter().collect();
}

/// A path without `//` and `/./` before its first pattern. A `/` at its end stays: it makes the path
/// that of a directory.
fn clean(path: &str) -> String {
    let at = path.find(['*', '?']).unwrap_or(path.len());
    let (literal, pattern) = path.split_at_checked(at).unwrap_or((path, ""));
    if !literal.starts_with('/') {
        return path.to_owned();
    }
    let (folders, last) = literal.rsplit_once('/').unwrap_or(("", literal));
    let mut clean = String::new();
    for part in folders.split('/').filter(|it| !matches!(*it, "" | ".")) {
        clean.push('/');
        clean.push_str(part);
    }
    clean.push('/');
    if last != "." || !pattern.is_empty() {
        clean.push_str(last);
    }
    clean.push_str(pattern);
    clean
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?'])
}

/// Whether a list has a path, or a pattern for it.
fn has(list: &[String], path: &str) -> bool {
    list.iter().any(|one| one == path) || (!is_pattern(path) && is_matched(list, path))
}

fn is_matched(list: &[String], path: &str) -> bool {
    let mut patterns = list.iter().filter(|one| is_pattern(one));
    patterns.any(|pattern| matches(pattern, path))
}

/// Whether a pattern covers a path.
fn matches(pattern: &str, path: &str) -> bool {
    if pattern.len() > PATTERN_MAX {
        return false;
    }
    let path = path.as_bytes();
    // Which beginnings of the path the pattern so far stands for.
    let mut reached = vec![false; path.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    let mut rest = pattern.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (is_star, any) = match (first, after.first()) {
            (b'*', Some(b'*')) => (true, true),
            (b'*', _) => (true, false),
            _ => (false, false),
        };
        let stands = |byte: u8| match first {
            b'*' => any || byte != b'/',
            b'?' => byte != b'/',
            literal => byte == literal,
        };
        let mut next = vec![is_star && reached.first() == Some(&true)];
        for ((&byte, &before), &here) in path.iter().zip(&reached).zip(reached.iter().skip(1)) {
            let is_continued = is_star && next.last() == Some(&true);
            next.push((is_star && here) || ((before || is_continued) && stands(byte)));
        }
        reached = next;
        rest = if any {
            after.get(1..).unwrap_or_default()
        } else {
            after
        };
    }
    reached.last() == Some(&true)
}

/// Adds paths to a list, in which a pattern stands for what it covers.
fn covered(mut list: Vec<String>, more: Vec<String>) -> Vec<String> {
    for path in more {
        if has(&list, &path) {
            continue;
        }
        if is_pattern(&path) {
            list.retain(|one| is_pattern(one) || !matches(&path, one));
        }
        list.push(path);
    }
    list.sort();
    list
}

fn executables(one: Executable, other: Executable) -> Executable {
    let mut transitions = append(one.transitions, other.transitions);
    let allowed = covered(one.allowed_executables, other.allowed_executables);
    // A file has one way to be executed: under the same profile, or the first that is named.
    let mut paths: BTreeSet<String> = allowed.iter().cloned().collect();
    transitions.retain(|transition| paths.insert(transition.path.clone()));
    Executable {
        transitions,
        allowed_executables: allowed,
        allowed_libraries: covered(one.allowed_libraries, other.allowed_libraries),
        denied_executables: common(one.denied_executables, &other.denied_executables),
    }
}

fn files(one: Filesystem, other: Filesystem) -> Filesystem {
    let mut read = one.read_only_paths;
    let mut write = one.write_only_paths;
    let mut both = one.read_write_paths;
    for path in other.read_write_paths {
        if has(&both, &path) {
            continue;
        }
        if is_pattern(&path) {
            promote(&mut read, &mut both, &path);
            promote(&mut write, &mut both, &path);
        }
        read.retain(|one| *one != path);
        write.retain(|one| *one != path);
        both.push(path);
    }
    for path in other.read_only_paths {
        add_half(path, &mut read, &mut write, &mut both);
    }
    for path in other.write_only_paths {
        add_half(path, &mut write, &mut read, &mut both);
    }
    for list in [&mut read, &mut write, &mut both] {
        list.sort();
    }
    Filesystem {
        read_only_paths: read,
        write_only_paths: write,
        read_write_paths: both,
        allowed_paths: append(one.allowed_paths, other.allowed_paths),
        denied_paths: common(one.denied_paths, &other.denied_paths),
    }
}

/// Adds a path to the list of its half of the access; `opposite` is the other half.
fn add_half(
    path: String,
    half: &mut Vec<String>,
    opposite: &mut Vec<String>,
    both: &mut Vec<String>,
) {
    if has(both, &path) || has(half, &path) {
        return;
    }
    if opposite.contains(&path) {
        opposite.retain(|one| *one != path);
        both.push(path);
    } else if !is_pattern(&path) && is_matched(opposite, &path) {
        both.push(path);
    } else {
        if is_pattern(&path) {
            promote(opposite, both, &path);
        }
        half.push(path);
    }
}

/// Moves the literal paths that a pattern covers into `both`.
fn promote(list: &mut Vec<String>, both: &mut Vec<String>, pattern: &str) {
    let (covered, rest) = std::mem::take(list)
        .into_iter()
        .partition(|one| !is_pattern(one) && matches(pattern, one));
    *list = rest;
    *both = append(std::mem::take(both), covered);
}

fn network(one: Network, other: Network) -> Network {
    let or = |one: Option<bool>, other: Option<bool>| both(one, other, |one, other| one || other);
    Network {
        allow_raw: or(one.allow_raw, other.allow_raw),
        allowed_protocols: both(
            one.allowed_protocols,
            other.allowed_protocols,
            |one, other| AllowedProtocols {
                allow_tcp: or(one.allow_tcp, other.allow_tcp),
                allow_udp: or(one.allow_udp, other.allow_udp),
            },
        ),
    }
}

#[cfg(test)]
mod tests;
