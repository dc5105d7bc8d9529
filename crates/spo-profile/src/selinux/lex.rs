//! Pure. The tokens of CIL, as libsepol/cil/src/cil_lexer.l and cil_parser.c define them.

use super::raw::Refusal;

/// A token that the tree of statements is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// A symbol, or what is between quotes: to the compiler they are the same. Characters that no
    /// token may contain are taken for parts of one; the compiler refuses them.
    Word(&'a str),
}

/// Splits a text.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    line_start: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            line_start: true,
        }
    }

    /// Takes everything before the first character that `ends`.
    fn take(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// After a `;`: to the end of the line. Inside, the lexer still sees strings, so that a quote
    /// there could hide the end of the line.
    fn skip_comment(&mut self) -> Result<(), Refusal> {
        let comment = self.take(ends_line);
        if comment.matches('"').count() % 2 == 1 {
            return Err(Refusal::OpenString);
        }
        Ok(())
    }

    /// After a `"`: what is before the next one.
    fn string(&mut self) -> Result<&'a str, Refusal> {
        let text = self.take(|char| char == '"' || ends_line(char));
        self.rest = self.rest.strip_prefix('"').ok_or(Refusal::OpenString)?;
        Ok(text)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Token<'a>, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line_start = std::mem::take(&mut self.line_start);
            let all = self.rest;
            let mut chars = all.chars();
            let first = chars.next()?;
            self.rest = chars.as_str();
            match first {
                '(' => return Some(Ok(Token::Open)),
                ')' => return Some(Ok(Token::Close)),
                '\n' | '\r' => self.line_start = true,
                ' ' | '\t' => {}
                ';' => {
                    if line_start && all.starts_with(";;*") {
                        return Some(Err(Refusal::LineMark));
                    }
                    if let Err(refusal) = self.skip_comment() {
                        return Some(Err(refusal));
                    }
                }
                '"' => return Some(self.string().map(Token::Word)),
                _ => {
                    self.rest = all;
                    return Some(Ok(Token::Word(self.take(ends_word))));
                }
            }
        }
    }
}

fn ends_line(char: char) -> bool {
    matches!(char, '\n' | '\r')
}

fn ends_word(char: char) -> bool {
    matches!(char, '(' | ')' | ';' | '"' | ' ' | '\t' | '\n' | '\r')
}
