//! Pure. What semodule(8) prints: which module is to blame for a failure, and what is in the store.
//!
//! The formats are those of libsepol and libsemanage 2.9 to 3.8, and are not promised to anybody.
//! What is not understood here is found out by trying (see `search.rs`), so that a new format
//! costs time and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::module::Digest;

/// A module which the output names, and where and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blame {
    pub(crate) module: String,
    pub(crate) line: Option<usize>,
    pub(crate) reason: String,
}

/// The longest reason which is passed on, in characters.
const REASON: usize = 400;

/// Finds the module of priority `priority` which is to blame.
///
/// The errors of the compiler end the output, so the last place that is named is the one which
/// ended it; what stands directly above it says more.
pub(crate) fn blame(output: &str, priority: u16) -> Option<Blame> {
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    let (at, (place, what)) = lines
        .iter()
        .enumerate()
        .rev()
        .find_map(|(index, line)| Some((index, place(line, priority)?)))?;
    let mut reasons = Vec::new();
    // "Failed to resolve permission x" stands above "Failed to resolve allow statement at ...".
    let above = lines[..at]
        .iter()
        .rev()
        .find(|line| !line.starts_with("Previous declaration"))
        .filter(|line| is_detail(line));
    reasons.extend(above.map(|line| lower(line.trim_start_matches("Error: "))));
    if let Some(what) = what {
        reasons.push(lower(what));
    }
    if reasons.is_empty() {
        reasons.push("refused by the policy compiler".to_owned());
    }
    Some(Blame {
        module: place.0,
        line: place.1,
        reason: clean(&reasons.join(": ")),
    })
}

/// Module and line, and the text before it, if that says what is wrong.
type Place<'a> = ((String, Option<usize>), Option<&'a str>);

fn place(line: &str, priority: u16) -> Option<Place<'_>> {
    let directory = format!("/modules/{priority}/");
    if let Some(named) = invalid_name(line) {
        let what = "the name is invalid: it has to start with a letter";
        return Some(((named.to_owned(), None), Some(what)));
    }
    let start = line.find(&directory)?;
    let (before, after) = (&line[..start], &line[start + directory.len()..]);
    let (module, rest) = after.split_once('/')?;
    if module.is_empty() {
        return None;
    }
    // The path up to the directory is the store's.
    let before = before.rsplit_once(char::is_whitespace)?.0.trim_end();
    // "... at line 3 of <path>/cil", "... at <path>/cil:3"
    if let Some(before) = before.strip_suffix(" of") {
        let (what, number) = before.rsplit_once(" at line ")?;
        return Some(((module.to_owned(), number.parse().ok()), Some(what)));
    }
    let what = before.strip_suffix(" at")?;
    let number = rest.strip_prefix("cil:").or(rest.strip_prefix("hll:"));
    let number = number.map(|text| {
        text.split(|char: char| !char.is_ascii_digit())
            .next()
            .unwrap_or_default()
    });
    let number = number.and_then(|text| text.parse().ok());
    let what = (what != "Problem" && !what.starts_with("Previous declaration")).then_some(what);
    Some(((module.to_owned(), number), what))
}

/// "libsemanage.semanage_module_info_set_name: Name 0digit is invalid."
fn invalid_name(line: &str) -> Option<&str> {
    let (_, after) = line.split_once("semanage_module_info_set_name: Name ")?;
    after.strip_suffix(" is invalid.")
}

/// Whether a line says more about the one below it, rather than what semodule did before.
fn is_detail(line: &str) -> bool {
    let starts = [
        "Failed to resolve ",
        "Error: ",
        "Invalid ",
        "Unknown ",
        "Re-declaration of ",
        "Duplicate ",
        "Symbol ",
        "Bad ",
    ];
    starts.iter().any(|start| line.starts_with(start)) && !line.contains("/modules/")
}

/// What to say where no module is named: the end of the output without what says nothing.
pub(crate) fn summary(output: &str) -> String {
    let says_nothing = |line: &str| {
        line.is_empty()
            || line.contains("semodule:  Failed")
            || line.starts_with(". (")
            || line.starts_with("Failed to resolve AST")
            || line.starts_with("Failed to build AST")
            || line.starts_with("libsemanage.add_user: ")
            || line.contains("semanage_direct_remove_key: Removing last ")
    };
    let lines = output.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !says_nothing(line)).collect();
    let last = &lines[lines.len().saturating_sub(3)..];
    if last.is_empty() {
        return "semodule gave no reason".to_owned();
    }
    clean(&last.join("; "))
}

/// Why a run failed that no module can be the reason of: to try again later is all there is to do.
pub(crate) fn trouble(output: &str) -> Option<String> {
    let causes = [
        // Somebody else changes the policy: semodule waits for 5 s.
        "semanage_get_lock: ",
        "No space left on device",
        "Disk quota exceeded",
        "Read-only file system",
        "Cannot allocate memory",
        "Permission denied",
    ];
    let named = |line: &&str| causes.iter().any(|cause| line.contains(cause));
    output.lines().map(str::trim).find(named).map(clean)
}

/// The message of a failed module: where, why, and the line itself.
pub(crate) fn message(blame: &Blame, text: &[u8]) -> String {
    let Some(line) = blame.line else {
        return blame.reason.clone();
    };
    let text = String::from_utf8_lossy(text);
    let source = line
        .checked_sub(1)
        .and_then(|index| text.lines().nth(index));
    match source.map(|source| clean(source.trim())) {
        Some(source) if !source.is_empty() => format!("line {line}: {}: {source}", blame.reason),
        _ => format!("line {line}: {}", blame.reason),
    }
}

/// Bounded and printable: the text comes from a file which somebody else has written.
fn clean(text: &str) -> String {
    let printable = |char: char| if char.is_control() { '?' } else { char };
    let mut cleaned: String = text.chars().take(REASON).map(printable).collect();
    if text.chars().nth(REASON).is_some() {
        cleaned.push_str("...");
    }
    cleaned
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

/// What the store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The modules of our priority, with the digests where semodule can tell them.
    pub(crate) modules: BTreeMap<String, Option<Digest>>,
    /// The names of the modules of other priorities.
    pub(crate) elsewhere: BTreeSet<String>,
}

/// Reads `semodule --list-modules=full`, with or without `--checksum`.
pub(crate) fn listing(output: &str, priority: u16) -> Listing {
    let mut listing = Listing::default();
    for line in output.lines() {
        let mut words = line.split_whitespace();
        let Some(Ok(found)) = words.next().map(str::parse::<u16>) else {
            continue;
        };
        let Some(name) = words.next() else {
            continue;
        };
        if found == priority {
            let digest = words.find_map(|word| word.strip_prefix("sha256:"));
            let digest = digest.map(|digest| Digest(digest.to_owned()));
            listing.modules.insert(name.to_owned(), digest);
        } else {
            listing.elsewhere.insert(name.to_owned());
        }
    }
    listing
}

#[cfg(test)]
mod tests;
