//! Pure. The rules of a policy, as far as they lead out of its profile.

use super::super::problem::Wrong;
use super::line::is_shipped;

/// What may stand before a rule, and before a block of them.
const QUALIFIERS: [&str; 5] = ["allow", "audit", "deny", "owner", "quiet"];

/// The variable which only stands for the profile itself.
const PROFILE_NAME: &str = "@{profile_name}";

/// How many parentheses are open after a word. Those of a path are part of it.
pub(super) fn parentheses(word: &str, open: usize) -> Result<usize, Wrong> {
    if open == 0 && word.starts_with(['/', '@', '"']) {
        return Ok(0);
    }
    let mut open = open;
    let mut is_quoted = false;
    let mut chars = word.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => {
                chars.next();
            }
            '(' if !is_quoted => open += 1,
            ')' if !is_quoted => {
                open = open
                    .checked_sub(1)
                    .ok_or_else(|| Wrong::new(") without (", "remove it, or put quotes around"))?;
            }
            _ => {}
        }
    }
    Ok(open)
}

pub(super) fn are_qualifiers(words: &[String]) -> bool {
    !words.is_empty() && words.iter().all(|word| QUALIFIERS.contains(&word.as_str()))
}

/// A rule before the profile.
pub(super) fn check_preamble(words: &[String]) -> Result<(), Wrong> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is_abi = |word: &str| {
        let path = word
            .strip_prefix('<')
            .and_then(|word| word.strip_suffix('>'));
        path.is_some_and(|path| is_shipped(path, &["abi"]))
    };
    match words.as_slice() {
        ["abi", path] if is_abi(path) => Ok(()),
        ["alias", from, "->", to] if [from, to].iter().all(|it| it.starts_with(['/', '"'])) => {
            Ok(())
        }
        words => Err(Wrong::new(
            format!("outside of the profile stands {:?}", words.join(" ")),
            "there may be include, abi <abi/…>, alias and variables, and rules within the profile",
        )),
    }
}

/// A rule of a profile.
pub(super) fn check(words: &[String]) -> Result<(), Wrong> {
    if let Some(word) = words.iter().find(|word| is_unconfined_execution(word)) {
        return Err(Wrong::new(
            format!("what is executed by {word} runs without a profile"),
            "use ix, px or cx",
        ));
    }
    let mut rest = words.iter().map(String::as_str);
    let rule = rest.find(|word| !QUALIFIERS.contains(word));
    let mounts = matches!(rule, Some("mount" | "remount" | "umount" | "link"));
    let arrows = words.iter().enumerate().filter(|(_, word)| *word == "->");
    let targets: Vec<&str> = arrows
        .map(|(at, _)| words.get(at + 1).map_or("", String::as_str))
        .collect();
    if rule == Some("change_profile") && targets.is_empty() {
        return Err(Wrong::new(
            "change_profile without a profile leads to any, and to none",
            "name the profile, as in change_profile -> other",
        ));
    }
    match targets.iter().find(|target| !mounts && !is_profile(target)) {
        Some(target) => Err(Wrong::new(
            format!("not the name of one profile: {target}"),
            "name a profile after ->, without patterns, namespaces and &, and not unconfined",
        )),
        None => Ok(()),
    }
}

/// `ux` and its relatives, which fall back to it.
fn is_unconfined_execution(word: &str) -> bool {
    let is_permission = word.bytes().all(|byte| b"rwaklmxipcuPCUI".contains(&byte));
    is_permission && (word.contains("ux") || word.contains("Ux"))
}

/// Whether a word is the name of a profile, and not of a namespace, a stack, or no profile at all.
fn is_profile(word: &str) -> bool {
    let name = word
        .strip_prefix('"')
        .and_then(|word| word.strip_suffix('"'))
        .unwrap_or(word);
    let rest = name.replace(PROFILE_NAME, "");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte);
    !name.is_empty() && name != "unconfined" && rest.bytes().all(is_plain)
}
