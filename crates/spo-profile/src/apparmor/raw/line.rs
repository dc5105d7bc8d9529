//! Pure. A line of a policy as words.

use std::fmt;

use super::super::problem::Wrong;

/// What stands on a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A file of AppArmor's own is read.
    Include,
    /// Anything else; nothing for a blank line or a comment.
    Tokens(Vec<Token>),
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Text without blanks, but for those between quotes.
    Word(String),
    Comma,
    Open,
    Close,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Word(word) => word,
            Self::Comma => ",",
            Self::Open => "{",
            Self::Close => "}",
        })
    }
}

/// Reads a line.
pub(super) fn read(text: &str) -> Result<Line, Wrong> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Wrong::new(
            "a control character",
            "end lines with a line feed only, and remove other control characters",
        ));
    }
    let text = text.trim_matches([' ', '\t']);
    // Without a blank after it this is no comment.
    if let Some(rest) = text.strip_prefix("#include") {
        return include(rest).map(|()| Line::Include);
    }
    if let Some(rest) = text.strip_prefix("include")
        && rest.starts_with([' ', '\t', '<', '"'])
    {
        return include(rest).map(|()| Line::Include);
    }
    let mut tokens = vec![];
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(comment) = rest.strip_prefix('#') {
            if comment.starts_with("include") {
                return Err(Wrong::new(
                    "an include after something else",
                    "put it on a line of its own",
                ));
            }
            break;
        }
        let end = end_of_word(rest)?;
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        push(word, &mut tokens)?;
        rest = after.trim_start_matches([' ', '\t']);
    }
    Ok(Line::Tokens(tokens))
}

/// What follows on `include`: only files which AppArmor ships for this are read.
fn include(text: &str) -> Result<(), Wrong> {
    const FIX: &str = "write include <abstractions/NAME> or include <tunables/NAME>, on a line of \
                       its own";
    let wrong = || {
        Wrong::new(
            format!("a file which policies may not include: {:?}", text.trim()),
            FIX,
        )
    };
    if !text.starts_with([' ', '\t']) {
        return Err(wrong());
    }
    let text = text.trim_start_matches([' ', '\t']);
    let text = match text.strip_prefix("if exists") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start_matches([' ', '\t']),
        _ => text,
    };
    let (path, rest) = text
        .strip_prefix('<')
        .and_then(|text| text.split_once('>'))
        .ok_or_else(wrong)?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let is_comment = rest.is_empty() || rest.starts_with('#') && !rest.starts_with("#include");
    match is_comment && is_shipped(path, &["abstractions", "tunables"]) {
        true => Ok(()),
        false => Err(wrong()),
    }
}

/// Whether a path leads into one of these folders of AppArmor, and stays there.
pub(super) fn is_shipped(path: &str, folders: &[&str]) -> bool {
    let is_name = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte))
    };
    path.split_once('/')
        .is_some_and(|(folder, rest)| folders.contains(&folder) && rest.split('/').all(is_name))
}

/// Where a word ends: at a blank outside of quotes.
fn end_of_word(text: &str) -> Result<usize, Wrong> {
    let mut is_quoted = false;
    let mut chars = text.char_indices();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => {
                chars.next();
            }
            ' ' | '\t' if !is_quoted => return Ok(index),
            _ => {}
        }
    }
    match is_quoted {
        false => Ok(text.len()),
        true => Err(Wrong::new(
            "a quote without another one",
            "close it on the same line",
        )),
    }
}

/// Takes the comma off the end of a word, and finds out what it is.
fn push(text: &str, tokens: &mut Vec<Token>) -> Result<(), Wrong> {
    let (word, ends) = match text.strip_suffix(',') {
        Some(word) => (word, true),
        None => (text, false),
    };
    match word {
        "" => {}
        "{" => tokens.push(Token::Open),
        "}" => tokens.push(Token::Close),
        "{}" => tokens.extend([Token::Open, Token::Close]),
        word => {
            check_word(word)?;
            tokens.push(Token::Word(word.to_owned()));
        }
    }
    if ends {
        tokens.push(Token::Comma);
    }
    Ok(())
}

/// Refuses what `apparmor_parser` may take for several words, or what it decides by the words
/// before.
fn check_word(word: &str) -> Result<(), Wrong> {
    let wrong = |fix| Wrong::new(format!("not one word: {word:?}"), fix);
    if matches!(word, "include" | "if" | "else") {
        return Err(Wrong::new(
            format!("{word} among the rules"),
            "put an include on a line of its own; conditions have no place in a policy here",
        ));
    }
    if word != "->" && outside_of_quotes(word).contains("->") {
        return Err(wrong("put a blank before and after ->"));
    }
    if word != "change_profile" && word.starts_with("change_profile") {
        return Err(wrong("put a blank after change_profile"));
    }
    let is_path = word.starts_with(['/', '@']);
    let (mut braces, mut parentheses) = (0_usize, 0_usize);
    let mut before = None;
    let mut chars = word.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                quoted(&mut chars);
                let begins = match before {
                    None => true,
                    Some(before) => !word.starts_with('/') && "=(,".contains(before),
                };
                let ends = chars.peek().is_none_or(|next| "),".contains(*next));
                if !(begins && ends) {
                    return Err(wrong("put the quotes around all of it"));
                }
            }
            '\\' => {
                let next = chars.next();
                if !next.is_some_and(|next| "*?[]".contains(next)) {
                    return Err(wrong("put quotes around text with a backslash"));
                }
            }
            '#' => return Err(wrong("put a blank before # and quotes around text with it")),
            '{' => braces += 1,
            '}' if braces == 0 => return Err(wrong("put a blank before and after }")),
            '}' => braces -= 1,
            '(' => parentheses += 1,
            ')' => parentheses = parentheses.saturating_sub(1),
            ',' if !is_path && braces == 0 && parentheses == 0 => {
                return Err(wrong("put a blank after a comma"));
            }
            _ => {}
        }
        before = Some(char);
    }
    match braces == 0 && !word.starts_with('{') {
        true => Ok(()),
        false => Err(wrong("put a blank before and after {")),
    }
}

/// Reads what follows on a quote, up to the next one.
fn quoted(chars: &mut impl Iterator<Item = char>) {
    while let Some(char) = chars.next() {
        match char {
            '"' => return,
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
}

/// A word without what stands between its quotes.
fn outside_of_quotes(word: &str) -> String {
    let mut outside = String::new();
    let mut chars = word.chars();
    while let Some(char) = chars.next() {
        outside.push(char);
        if char == '"' {
            quoted(&mut chars);
        }
    }
    outside
}
