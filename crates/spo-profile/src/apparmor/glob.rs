//! Pure. Patterns in the whole syntax of AppArmor: paths of the new lists, and addresses of sockets.
//!
//! They are written between quotes, where blanks, `,` and `#` mean themselves. What would not, or
//! would not be read by `apparmor_parser`, is refused with the place where it stands.

use std::fmt;

use super::problem::Wrong;

/// A pattern for paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(String);

/// The path of one file, without any pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Literal(String);

/// The source of a mount: a pattern for paths, or a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source(String);

/// The address of a socket that has no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address(String);

/// How deep `{a,{b,c}}` may be. `apparmor_parser` reads 50, and nobody else.
const DEPTH_MAX: usize = 8;

/// Longest pattern in bytes (Linux, `PATH_MAX`).
const LENGTH_MAX: usize = 4096;

/// Longest address of a socket in bytes, and some for the pattern (Linux, `UNIX_PATH_MAX`).
const ADDRESS_MAX: usize = 256;

const ABSOLUTE: &str = "start with / or with a variable, as in @{PROC}/self";

impl Glob {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |fix| Wrong::new(format!("validating path: bad pattern: {text:?}"), fix);
        if !(text.starts_with('/') || text.starts_with("@{")) {
            return Err(wrong(ABSOLUTE));
        }
        if text.split('/').any(|part| part == "..") {
            return Err(wrong(
                "write the path without .., as the kernel compares whole paths",
            ));
        }
        if text.len() > LENGTH_MAX {
            return Err(wrong("use at most 4096 bytes"));
        }
        syntax(text).map_err(wrong)?;
        Ok(Self(text.to_owned()))
    }
}

impl Literal {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./+@ -".contains(&byte);
        let goes_up = text.split('/').any(|part| part == "..");
        if !text.starts_with('/')
            || !text.bytes().all(is_plain)
            || goes_up
            || text.len() > LENGTH_MAX
        {
            return Err(Wrong::new(
                format!("validating path: not the path of one program: {text:?}"),
                "start with / and use letters, digits, spaces and _ . / + @ - only, without .. and \
                 without patterns",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Source {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let is_word = !text.is_empty()
            && text.len() <= LENGTH_MAX
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if is_word {
            return Ok(Self(text.to_owned()));
        }
        Glob::parse(text).map(|Glob(text)| Self(text))
    }
}

impl Address {
    /// Of a socket without a name.
    const NONE: &str = "none";

    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |fix| Wrong::new(format!("validating address: bad address: {text:?}"), fix);
        if text == Self::NONE {
            return Ok(Self(text.to_owned()));
        }
        let name = text
            .strip_prefix('@')
            .filter(|name| !name.is_empty())
            .ok_or_else(|| wrong("write none, or @ and the name of an abstract socket"))?;
        if text.contains("@{") {
            return Err(wrong("variables have no place in an address"));
        }
        if text.len() > ADDRESS_MAX {
            return Err(wrong("use at most 256 bytes"));
        }
        syntax(name).map_err(wrong)?;
        Ok(Self(text.to_owned()))
    }
}

/// Checks a pattern; the error is what to do about it.
fn syntax(text: &str) -> Result<(), &'static str> {
    let is_printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"';
    if !text.bytes().all(is_printable) {
        return Err("use printable ASCII characters other than quotes, or ? for another one");
    }
    let mut open: Vec<Alternation> = vec![];
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                let next = chars.next().filter(|next| r"*?[]{},\".contains(*next));
                next.ok_or(r"a backslash stands before one of * ? [ ] { } , \ only")?;
            }
            '@' if chars.peek() == Some(&'{') => {
                chars.next();
                let name: String = chars.by_ref().take_while(|next| *next != '}').collect();
                if !is_variable(&name) || !text.contains(&format!("@{{{name}}}")) {
                    return Err("a variable looks like @{PROC}");
                }
            }
            '[' => class(&mut chars)?,
            ']' => return Err(r"] has no [ before it; write \] for the character"),
            '{' => {
                open.push(Alternation::default());
                if open.len() > DEPTH_MAX {
                    return Err("use at most 8 levels of { }");
                }
                continue;
            }
            '}' => {
                let inner = open
                    .pop()
                    .ok_or(r"} has no { before it; write \} for the character")?;
                let may_be_empty = inner.end()?;
                if let Some(outer) = open.last_mut() {
                    outer.has_text |= !may_be_empty;
                }
                continue;
            }
            ',' => {
                if let Some(alternation) = open.last_mut() {
                    alternation.comma();
                    continue;
                }
            }
            _ => {}
        }
        if let Some(alternation) = open.last_mut() {
            alternation.has_text = true;
        }
    }
    match open.is_empty() {
        true => Ok(()),
        false => Err(r"{ has no } after it; write \{ for the character"),
    }
}

/// What is between `{` and `}`, as far as it has been read.
#[derive(Default)]
struct Alternation {
    commas: usize,
    /// Whether the text after the last comma can not be empty.
    has_text: bool,
    /// How many texts may be empty.
    empty: usize,
}

impl Alternation {
    fn comma(&mut self) {
        self.commas += 1;
        self.empty += usize::from(!self.has_text);
        self.has_text = false;
    }

    /// Whether all of it may be empty.
    fn end(mut self) -> Result<bool, &'static str> {
        if self.commas == 0 {
            return Err(r"{ } needs two texts with a comma between; write \{ for the character");
        }
        self.comma();
        match self.empty {
            0 => Ok(false),
            1 => Ok(true),
            // With some of these apparmor_parser 3.0 never ends.
            _ => Err("only one of the texts between { and } may be empty"),
        }
    }
}

/// Reads what follows on `[`.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<(), &'static str> {
    const FIX: &str = "between [ and ] stand letters, digits and _ . , : @ + = ~ % or ranges such \
                       as a-z, after ^ for all others";
    chars.next_if_eq(&'^');
    let mut members = 0;
    let is_member = |char: char| char.is_ascii_alphanumeric() || "_.,:@+=~%".contains(char);
    loop {
        match chars.next() {
            Some(']') if members > 0 => return Ok(()),
            Some(first) if is_member(first) => {
                members += 1;
                if chars.next_if_eq(&'-').is_some() {
                    let kind = |char: char| {
                        (
                            char.is_ascii_digit(),
                            char.is_ascii_lowercase(),
                            char.is_ascii_uppercase(),
                        )
                    };
                    let last = chars.next().ok_or(FIX)?;
                    let is_range =
                        first.is_ascii_alphanumeric() && kind(first) == kind(last) && first <= last;
                    if !is_range {
                        return Err(FIX);
                    }
                }
            }
            _ => return Err(FIX),
        }
    }
}

/// Whether this is the name of a variable.
pub(super) fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

macro_rules! quoted {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"{}\"", self.0)
            }
        }
    )*};
}

quoted!(Glob, Literal, Source, Address);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_as_they_are() {
        for text in [
            "/",
            "/var/{log,cache}/app-[0-9]*/**",
            "/x/[^a-zA-Z_]?",
            "/x/{a,{b,c}}{,.gz}",
            "@{PROC}/@{pid}/{fd,fdinfo}/",
            "/{@{pid},self}",
            r"/x/\*\?\[\]\{\}\,\\",
            "/a b,c#d:e=f~g%h!i'j(k)l;m&n<o>p$q^r|s+t@u",
            "/x/[a,b]",
            "/x/{,a}{b,}{,{c,}d}",
        ] {
            let glob = Glob::parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
            assert_eq!(glob.to_string(), format!("\"{text}\""));
        }
    }

    #[test]
    fn what_would_not_stay_is_refused() {
        for text in [
            "",
            "a",
            "{/a,/b}",
            "/a\"",
            "/a\n",
            "/a\t",
            "/a\u{7f}",
            "/é",
            "/a\\",
            r"/a\n",
            r"/a\x41",
            "/{a}",
            "/{a",
            "/a}",
            "/{a,b",
            "/{a,b}}",
            "/[",
            "/[]",
            "/[^]",
            "/[a",
            "/[a-]",
            "/[-a]",
            "/[z-a]",
            "/[a-Z]",
            "/[@{pid}]",
            "/]",
            "/@{",
            "/@{}",
            "/@{pid",
            "/@{p d}",
            "/@{a,b}",
            "/a/../b",
            "/..",
            "/{,}",
            "/{a,,}",
            "/{,{,a}}",
            "/{{,a},{,b}{c,}}",
            "/{{{{{{{{{a,b},b},b},b},b},b},b},b},b}",
            &format!("/{}", "a".repeat(4096)),
        ] {
            let wrong = Glob::parse(text).expect_err(text);
            assert_eq!(
                wrong.message,
                format!("validating path: bad pattern: {text:?}")
            );
            assert!(!wrong.fix.is_empty());
        }
    }

    #[test]
    fn addresses_are_abstract_or_none() {
        for text in ["none", "@a", "@/tmp/.X11-unix/X[0-9]*", "@a b,c", "@@"] {
            assert_eq!(
                Address::parse(text).unwrap().to_string(),
                format!("\"{text}\"")
            );
        }
        for text in [
            "", "@", "/run/x", "a", "@{pid}", "@a@{pid}", "@a\"", "@{a,b", "None",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sources_are_paths_or_words() {
        for text in ["tmpfs", "none", "/dev/sd[a-z]", "dev.1-x_y"] {
            assert!(Source::parse(text).is_ok(), "{text}");
        }
        for text in ["", "a b", "a,", "a/b", "@x", "\""] {
            assert!(Source::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_literal_has_no_pattern() {
        assert_eq!(
            Literal::parse("/opt/a b/run").unwrap().to_string(),
            "\"/opt/a b/run\""
        );
        for text in [
            "", "a", "/*", "/a?", "/@{pid}", "/[a]", "/a\"", "/a/../b", "/a,",
        ] {
            assert!(Literal::parse(text).is_err(), "{text}");
        }
    }
}
