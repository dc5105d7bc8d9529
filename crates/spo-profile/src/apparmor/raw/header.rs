//! Pure. The line on which a profile or a hat begins.

use spo_api::apparmor_profile::Mode;

use super::super::problem::Wrong;
use super::super::word::Name;
use super::line::Token;

/// `profile NAME ATTACHMENT flags=(…) {`, or the same of a hat.
pub(super) struct Header {
    keyword: &'static str,
    name: String,
    attachment: Option<String>,
    flags: Option<Vec<&'static str>>,
}

/// The flags which do not say what happens to what is not allowed.
const FLAGS: [&str; 9] = [
    "attach_disconnected",
    "audit",
    "chroot_attach",
    "chroot_no_attach",
    "chroot_relative",
    "delegate_deleted",
    "mediate_deleted",
    "namespace_relative",
    "no_attach_disconnected",
];

/// What every container needs, and a text without flags gets.
const DEFAULT: [&str; 2] = ["attach_disconnected", "mediate_deleted"];

/// The modes which `spec.mode` says instead.
const MODES: [&str; 2] = ["complain", "enforce"];

/// Whether a line that begins outside of a rule is one of these.
pub(super) fn is_header(tokens: &[Token]) -> bool {
    match tokens.first() {
        Some(Token::Word(word)) => {
            matches!(word.as_str(), "profile" | "hat") || word.starts_with('^')
        }
        _ => false,
    }
}

/// Reads the tokens up to `{`, and returns those after it.
pub(super) fn read(tokens: Vec<Token>) -> Result<(Header, Vec<Token>), Wrong> {
    let wrong = || {
        Wrong::new(
            "not the beginning of a profile",
            "write profile NAME { or profile NAME flags=(…) {, on one line",
        )
    };
    let at = tokens.iter().position(|token| *token == Token::Open);
    let mut tokens = tokens;
    let rest = tokens.split_off(at.ok_or_else(wrong)? + 1);
    tokens.pop();
    // The commas between flags.
    let mut words = tokens.into_iter().filter_map(|token| match token {
        Token::Word(word) => Some(word),
        Token::Comma | Token::Open | Token::Close => None,
    });
    let first = words.next().ok_or_else(wrong)?;
    let (keyword, name) = match (first.as_str(), first.strip_prefix('^')) {
        ("profile", _) => ("profile ", words.next().ok_or_else(wrong)?),
        ("hat", _) | (_, Some("")) => ("hat ", words.next().ok_or_else(wrong)?),
        (_, Some(name)) => ("hat ", name.to_owned()),
        (_, None) => return Err(wrong()),
    };
    let mut header = Header {
        keyword,
        name: unquoted(&name)?,
        attachment: None,
        flags: None,
    };
    let mut next = words.next();
    if let Some(path) = next.take_if(|word| word.starts_with(['/', '"', '@'])) {
        header.attachment = Some(path);
        next = words.next();
    }
    if let Some(flags) = next {
        let flags = words.fold(flags, |flags, word| format!("{flags},{word}"));
        header.flags = Some(read_flags(&flags)?);
    }
    Ok((header, rest))
}

/// A name without its quotes. Nothing in it needs them.
fn unquoted(word: &str) -> Result<String, Wrong> {
    let name = word
        .strip_prefix('"')
        .and_then(|word| word.strip_suffix('"'))
        .unwrap_or(word);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err(Wrong::new(
            format!("invalid profile name: {word:?}"),
            "use letters, digits and _ . / - only, without a namespace",
        ));
    }
    Ok(name.to_owned())
}

fn read_flags(text: &str) -> Result<Vec<&'static str>, Wrong> {
    let list = text
        .strip_prefix("flags=(")
        .and_then(|text| text.strip_suffix(')'));
    let list = list.ok_or_else(|| {
        Wrong::new(
            format!("not the flags of a profile: {text:?}"),
            "write flags=(…) and nothing else after the name",
        )
    })?;
    let mut flags = vec![];
    for word in list.split([',', ' ']).filter(|word| !word.is_empty()) {
        match FLAGS.into_iter().find(|flag| *flag == word) {
            Some(flag) => flags.push(flag),
            None if MODES.contains(&word) => {}
            None => {
                return Err(Wrong::new(
                    format!("a flag which policies may not have: {word:?}"),
                    "say the mode in spec.mode; other flags are attach_disconnected, \
                     mediate_deleted, audit and those about chroots and namespaces",
                ));
            }
        }
    }
    Ok(flags)
}

impl Header {
    /// What holds for the profile itself and not for those within it.
    pub(super) fn check_top(&self, name: &Name) -> Result<(), Wrong> {
        if self.keyword != "profile " {
            return Err(Wrong::new(
                "a hat outside of a profile",
                "put it into the profile",
            ));
        }
        if self.name != name.as_str() {
            return Err(Wrong::new(
                format!(
                    "the policy defines {:?}, not {:?}",
                    self.name,
                    name.as_str()
                ),
                "give the profile the name of the object",
            ));
        }
        if let Some(path) = &self.attachment {
            return Err(Wrong::new(
                format!("the profile attaches to {path}"),
                "remove the path: programs of the node would run under the profile, too",
            ));
        }
        Ok(())
    }

    pub(super) fn render(&self, mode: Mode) -> String {
        let mut flags = vec![super::super::mode(mode)];
        match &self.flags {
            Some(own) => flags.extend(own),
            None => flags.extend(DEFAULT),
        }
        let attachment = self.attachment.as_ref().map(|path| format!("{path} "));
        format!(
            "{}{} {}flags=({}) {{",
            self.keyword,
            self.name,
            attachment.unwrap_or_default(),
            flags.join(",")
        )
    }
}
