//! Pure. What the parser says of a text that it does not take, with the line it means.

/// A text which is not one of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The included file that it is in; `None`: in the text itself.
    pub file: Option<String>,
    /// The line, counted from 1, if the parser tells.
    pub line: Option<usize>,
    /// What is wrong, in the parser's words.
    pub message: String,
    /// The line itself, of the text.
    pub excerpt: Option<String>,
}

impl std::error::Error for SyntaxError {}

impl std::fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "line {line} of {file}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)?;
        match &self.excerpt {
            Some(excerpt) => write!(f, ": {excerpt:?}"),
            None => Ok(()),
        }
    }
}

/// Characters of a message or an excerpt.
const LENGTH_MAX: usize = 300;

/// How the parser starts a line that says where the error is. Versions 2 to 4.
const PREFIX: &str = "AppArmor parser error";

/// How it names what comes from a regular expression.
const QUOTED: &str = "Unable to parse input line '";

/// What it says next to an error, and is none.
const NOISE: [&str; 3] = ["Warning", "Cache read/write disabled", "ERROR processing"];

/// Reads what the parser has said about `text`, which it knows as the file `input`.
pub(super) fn parse(complaints: &str, input: &str, text: &str) -> SyntaxError {
    let lines = || complaints.lines().map(str::trim);
    let located = lines().find_map(|line| {
        let (place, rest) = line.strip_prefix(PREFIX)?.split_once("at line ")?;
        let (number, message) = rest.split_once(':')?;
        Some((file(place, input), number.trim().parse().ok()?, message))
    });
    if let Some((file, line, message)) = located {
        let excerpt = match file {
            None => line_of(text, line),
            Some(_) => None,
        };
        return SyntaxError {
            file: file.map(clean),
            line: Some(line),
            message: clean(message),
            excerpt,
        };
    }
    let line = lines().find_map(|line| {
        let quoted = line.split_once(QUOTED)?.1.strip_suffix('\'')?;
        let found = text.lines().position(|line| line.contains(quoted))?;
        Some(found + 1)
    });
    let told: Vec<&str> = lines()
        .filter(|line| !line.is_empty() && !NOISE.iter().any(|noise| line.starts_with(noise)))
        .map(|line| {
            // It starts some lines with its own path.
            let rest = line.split_once("apparmor_parser: ");
            rest.map_or(line, |(_, rest)| rest)
        })
        .collect();
    SyntaxError {
        file: None,
        line,
        message: if told.is_empty() {
            "the parser refuses the profile and does not say why".to_owned()
        } else {
            clean(&told.join("; "))
        },
        excerpt: line.and_then(|line| line_of(text, line)),
    }
}

/// Whether the parser has run into the limit of its memory.
pub(super) fn is_about_memory(complaints: &str) -> bool {
    [
        "Memory allocation",
        "bad_alloc",
        "Out of memory",
        "memory exhausted",
    ]
    .iter()
    .any(|sign| complaints.contains(sign))
}

/// ` for INPUT in profile FILE ` is about a file which `INPUT` includes, unless both are the same.
fn file<'a>(place: &'a str, input: &str) -> Option<&'a str> {
    let (_, file) = place.split_once(" in profile ")?;
    let file = file.trim();
    (file != input).then_some(file)
}

fn line_of(text: &str, line: usize) -> Option<String> {
    let found = text.lines().nth(line.checked_sub(1)?)?.trim();
    (!found.is_empty()).then(|| clean(found))
}

/// One line of bounded length: the parser repeats what it was given.
fn clean(text: &str) -> String {
    let text = text.trim();
    let mut clean: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .take(LENGTH_MAX)
        .collect();
    if text.chars().nth(LENGTH_MAX).is_some() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#include <tunables/global>\nprofile a {\n  /bin/ls qqq,\n  /[ r,\n}\n";

    fn say(complaints: &str) -> String {
        parse(complaints, "/proc/self/fd/0", TEXT).to_string()
    }

    /// The complaints are those of apparmor_parser 3.0.8 and 4.1.0.
    #[test]
    fn an_error_is_told_with_its_line() {
        let cases = [
            (
                "AppArmor parser error for /proc/self/fd/0 in profile /proc/self/fd/0 at line 3: \
                 syntax error, unexpected TOK_ID, expecting TOK_MODE\n",
                "line 3: syntax error, unexpected TOK_ID, expecting TOK_MODE: \"/bin/ls qqq,\"",
            ),
            (
                "Cache read/write disabled: interface file missing. (Kernel needs AppArmor 2.4 \
                 compatibility patch.)\nAppArmor parser error at line 2: Invalid capability foo.\n",
                "line 2: Invalid capability foo.: \"profile a {\"",
            ),
            (
                "AppArmor parser error for /proc/self/fd/0 in profile \
                 /etc/apparmor.d/abstractions/bad at line 2: syntax error",
                "line 2 of /etc/apparmor.d/abstractions/bad: syntax error",
            ),
            (
                "/usr/sbin/apparmor_parser: Regex grouping error: Unclosed grouping or character \
                 class, expecting close }\n/usr/sbin/apparmor_parser: Unable to parse input line \
                 '/['\nERROR processing regexs for profile a, failed to load\n",
                "line 4: Regex grouping error: Unclosed grouping or character class, expecting \
                 close }; Unable to parse input line '/[': \"/[ r,\"",
            ),
            (
                "Found reference to variable NOPE, but is never declared\n",
                "Found reference to variable NOPE, but is never declared",
            ),
            (
                "AppArmor parser error at line 99: syntax error, unexpected end of file",
                "line 99: syntax error, unexpected end of file",
            ),
            ("", "the parser refuses the profile and does not say why"),
        ];
        for (complaints, expected) in cases {
            assert_eq!(say(complaints), expected);
        }
    }

    #[test]
    fn what_is_repeated_is_one_line_of_bounded_length() {
        let told = say(&format!("a\tb\u{1b}[31m{}\n", "x".repeat(5000)));
        assert!(told.starts_with("a\u{fffd}b\u{fffd}[31mxxx"), "{told}");
        assert!(told.ends_with("x…") && told.chars().count() == LENGTH_MAX + 1);
    }
}
