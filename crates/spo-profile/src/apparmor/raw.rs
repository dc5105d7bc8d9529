//! Pure. A policy which is written by hand.
//!
//! What a text could do beyond its own profile is refused: define or replace other profiles, attach
//! to programs of the node, read files of the node, or send its tasks where nothing confines them.
//! The reader is stricter than `apparmor_parser`, whose words depend on the state it is in: where the
//! two could see different things, the text is refused with the line and a way to write it that
//! leaves no doubt. The names of what the text defines are checked again by the real parser
//! ([`defines_only`](super::defines_only)).
//!
//! Start reading at [`render`].

use spo_api::apparmor_profile::Mode;

use super::problem::Wrong;
use super::word::Name;

mod header;
mod line;
mod rule;

use line::{Line, Token};

/// Longest policy in bytes, as in the schema.
const LENGTH_MAX: usize = 500_000;

/// What surrounds a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    /// The rules of a profile, or of a hat or profile within one.
    Profile,
    /// Rules after a common qualifier, such as `owner {`.
    Qualified,
}

/// The text of a profile with this policy: our header, and the text with our modes.
pub(super) fn render(name: &Name, mode: Mode, policy: &str) -> Result<String, Wrong> {
    if policy.len() > LENGTH_MAX {
        return Err(Wrong::new(
            format!("the policy has {} bytes", policy.len()),
            "use at most 500000",
        ));
    }
    let mut reader = Reader {
        name,
        mode,
        open: vec![],
        rule: vec![],
        parentheses: 0,
        found: false,
    };
    let mut text = format!("\n{}\n", super::HEADER);
    for (index, line) in policy.lines().enumerate() {
        let line = reader.line(line).map_err(|wrong| Wrong {
            message: format!("line {}: {}", index + 1, wrong.message),
            ..wrong
        })?;
        text.push_str(&line);
        text.push('\n');
    }
    reader.end()?;
    Ok(text)
}

struct Reader<'a> {
    name: &'a Name,
    mode: Mode,
    /// The blocks around the line, outer ones first.
    open: Vec<Block>,
    /// The words of a rule that has not ended.
    rule: Vec<String>,
    /// How many `(` of it are open.
    parentheses: usize,
    /// Whether the profile has begun.
    found: bool,
}

impl Reader<'_> {
    /// The line as it goes into the profile.
    fn line(&mut self, text: &str) -> Result<String, Wrong> {
        let tokens = match line::read(text)? {
            Line::Tokens(tokens) => tokens,
            Line::Include => {
                if !self.rule.is_empty() {
                    return Err(Wrong::new(
                        "an include within a rule",
                        "end the rule with a comma before it",
                    ));
                }
                return Ok(text.to_owned());
            }
        };
        if self.rule.is_empty() {
            if header::is_header(&tokens) {
                return self.header(text, tokens);
            }
            if self.open.is_empty() && is_assignment(&tokens) {
                // Its values end with the line, and only say what later rules contain.
                return Ok(text.to_owned());
            }
        }
        for token in tokens {
            self.token(token)?;
        }
        Ok(text.to_owned())
    }

    /// A profile, or a hat or profile within it, begins.
    fn header(&mut self, text: &str, tokens: Vec<Token>) -> Result<String, Wrong> {
        let is_top = self.open.is_empty();
        if self.open.contains(&Block::Qualified) {
            let message = "a profile within the rules of a qualifier";
            return Err(Wrong::new(message, "put it outside of them"));
        }
        if is_top && self.found {
            return Err(Wrong::new(
                "another profile begins",
                "a policy defines one profile; put the other one into an object of its own",
            ));
        }
        let (header, rest) = header::read(tokens)?;
        if is_top {
            header.check_top(self.name)?;
            self.found = true;
        }
        self.open.push(Block::Profile);
        let indentation: String = text.chars().take_while(|c| c.is_whitespace()).collect();
        let mut line = format!("{indentation}{}", header.render(self.mode));
        for token in rest {
            line.push(' ');
            line.push_str(&token.to_string());
            self.token(token)?;
        }
        Ok(line)
    }

    fn token(&mut self, token: Token) -> Result<(), Wrong> {
        match token {
            Token::Word(word) => {
                self.parentheses = rule::parentheses(&word, self.parentheses)?;
                self.rule.push(word);
                Ok(())
            }
            Token::Comma if self.parentheses > 0 => Ok(()),
            Token::Comma => {
                let rule = std::mem::take(&mut self.rule);
                match self.open.is_empty() {
                    true => rule::check_preamble(&rule),
                    false => rule::check(&rule),
                }
            }
            Token::Open if self.parentheses > 0 => Err(Wrong::new(
                "{ within ( )",
                "close the parenthesis before it",
            )),
            Token::Open => {
                let words = std::mem::take(&mut self.rule);
                if self.open.is_empty() || !rule::are_qualifiers(&words) {
                    return Err(Wrong::new(
                        format!("{{ follows {:?}", words.join(" ")),
                        "begin a block with profile NAME { or hat NAME {, on one line, or with \
                         owner, audit, deny or allow",
                    ));
                }
                self.open.push(Block::Qualified);
                Ok(())
            }
            Token::Close if !self.rule.is_empty() => Err(Wrong::new(
                format!("no comma ends the rule {:?}", self.rule.join(" ")),
                "end each rule with a comma",
            )),
            Token::Close => match self.open.pop() {
                Some(_) => Ok(()),
                None => Err(Wrong::new("} without {", "remove it")),
            },
        }
    }

    fn end(self) -> Result<(), Wrong> {
        if !self.rule.is_empty() {
            let message = format!("no comma ends the rule {:?}", self.rule.join(" "));
            return Err(Wrong::new(message, "end each rule with a comma"));
        }
        if !self.open.is_empty() {
            return Err(Wrong::new(
                "the profile does not end",
                "close each { with }",
            ));
        }
        if !self.found {
            return Err(Wrong::new(
                format!("the policy does not define {}", self.name),
                "write profile NAME { }, with the name of the object",
            ));
        }
        Ok(())
    }
}

/// `@{NAME}=…` or `@{NAME}+=…`, also with blanks around the sign.
fn is_assignment(tokens: &[Token]) -> bool {
    let mut words = tokens.iter().map(|token| match token {
        Token::Word(word) => Some(word.as_str()),
        Token::Comma | Token::Open | Token::Close => None,
    });
    let is_sign = |text: &str| text.starts_with('=') || text.starts_with("+=");
    let first = words.next().flatten().and_then(|word| {
        let (name, rest) = word.strip_prefix("@{")?.split_once('}')?;
        super::glob::is_variable(name).then_some(rest)
    });
    let begins = match first {
        None => false,
        Some("") => words.next().flatten().is_some_and(is_sign),
        Some(rest) => is_sign(rest),
    };
    begins && words.all(|word| word.is_some())
}

#[cfg(test)]
mod tests;
