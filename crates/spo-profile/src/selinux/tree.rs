//! Pure. The statements of a policy as a tree, as the compiler reads them.

use super::lex::{Lexer, Token};
use super::raw::Refusal;

/// A word, or a list in parentheses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree<'a> {
    /// A symbol, or what stands between quotes.
    Word(&'a str),
    /// What stands between parentheses.
    List(Vec<Tree<'a>>),
}

impl<'a> Tree<'a> {
    /// The word, if it is one.
    pub fn word(&self) -> Option<&'a str> {
        match self {
            Tree::Word(word) => Some(word),
            Tree::List(_) => None,
        }
    }

    /// The parts, if it is a list.
    pub fn list(&self) -> Option<&[Tree<'a>]> {
        match self {
            Tree::Word(_) => None,
            Tree::List(parts) => Some(parts),
        }
    }
}

/// More levels than any policy needs, and as many as the compiler takes: a tree is dropped level by
/// level. Source: libsepol, cil_parser.c, `CIL_PARSER_MAX_EXPR_DEPTH`.
const DEPTH_MAX: usize = 1 << 12;

/// Reads a text, comments left out.
///
/// # Errors
/// The text is no policy: its parentheses or its strings have no end.
pub fn read(text: &str) -> Result<Vec<Tree<'_>>, Refusal> {
    let mut open: Vec<Vec<Tree<'_>>> = Vec::new();
    let mut parts: Vec<Tree<'_>> = Vec::new();
    for token in Lexer::new(text) {
        match token? {
            Token::Word(word) => parts.push(Tree::Word(word)),
            Token::Open if open.len() >= DEPTH_MAX => return Err(Refusal::TooDeep),
            Token::Open => open.push(std::mem::take(&mut parts)),
            Token::Close => {
                let outer = open.pop().ok_or(Refusal::Unmatched)?;
                let list = std::mem::replace(&mut parts, outer);
                parts.push(Tree::List(list));
            }
        }
    }
    if open.is_empty() {
        Ok(parts)
    } else {
        Err(Refusal::Unbalanced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_lists() {
        let tree = read("(type a) ; (type b\n(allow \"a\" (x ()))").unwrap();
        let word = Tree::Word;
        assert_eq!(
            tree,
            [
                Tree::List(vec![word("type"), word("a")]),
                Tree::List(vec![
                    word("allow"),
                    word("a"),
                    Tree::List(vec![word("x"), Tree::List(vec![])]),
                ]),
            ]
        );
        assert_eq!((tree[0].word(), word("a").list()), (None, None));
    }

    #[test]
    fn what_has_no_end_is_refused() {
        assert_eq!(read("(a"), Err(Refusal::Unbalanced));
        assert_eq!(read("a)"), Err(Refusal::Unmatched));
        assert_eq!(read("\""), Err(Refusal::OpenString));
        assert_eq!(read(&"(".repeat(DEPTH_MAX + 1)), Err(Refusal::TooDeep));
        let deep = format!("{}{}", "(".repeat(DEPTH_MAX), ")".repeat(DEPTH_MAX));
        assert!(read(&deep).is_ok());
    }
}
