//! Whether the policy of a RawSelinuxProfile stays in the block that it is put into.
//!
//! The text is split into tokens as libsepol's lexer for CIL does it. Where versions of that lexer
//! differ, or a line mark would move the parser to another block, the text is refused: what we read
//! must be what is installed.

use super::lex::{Lexer, Token};

use super::name::BlockName;

/// Longest policy in characters, as in the schema. Objects may be older than that.
const POLICY_MAX: usize = 500_000;

/// Why a policy is refused. The texts are public (contract 04, 6), but for the last four.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Only white space.
    #[error("policy must not be empty")]
    Empty,
    /// The policy is a C string on its way to the kernel.
    #[error("policy must not contain null bytes")]
    Nul,
    /// A statement that reaches beyond the block.
    #[error("invalid policy: use of restricted global directive '{0}' is not allowed")]
    Restricted(String),
    /// A `blockinherit` of something that may not be inherited; or of nothing, then it is empty.
    #[error(
        "invalid policy: use of restricted global directive 'blockinherit' is not allowed for '{0}'"
    )]
    Inherit(String),
    /// A `)` that would end the block.
    #[error("invalid policy: unmatched closing parenthesis ')' allows block escape")]
    Unmatched,
    /// A `(` without its `)`.
    #[error("invalid policy: unbalanced parentheses")]
    Unbalanced,
    /// A `"` without another on its line, also in a comment.
    #[error("invalid policy: a quoted string must end on the line it begins on")]
    OpenString,
    /// What compilers of other languages write into CIL.
    #[error("invalid policy: a line mark ';;*' is not allowed")]
    LineMark,
    /// Longer than the schema permits.
    #[error("invalid policy: it is {0} characters long, and {POLICY_MAX} are the most")]
    TooLong(usize),
    /// Lists in lists in lists.
    #[error("invalid policy: its lists are nested too deeply")]
    TooDeep,
}

/// Statements that reach beyond the block, but for `blockinherit`. `in`, which adds to another
/// block, is not in the contract's list, and is just what the list is for.
const RESTRICTED: [&str; 34] = [
    "block",
    "blockstart",
    "booleanif",
    "category",
    "categoryorder",
    "class",
    "classmap",
    "classmapping",
    "classorder",
    "context",
    "dominance",
    "filecon",
    "genfscon",
    "in",
    "level",
    "levelrange",
    "mls",
    "netifcon",
    "nodecon",
    "optional",
    "policycap",
    "portcon",
    "role",
    "roletype",
    "sensitivity",
    "sensitivityorder",
    "sid",
    "sidcontext",
    "sidorder",
    "tunable",
    "tunableif",
    "typepermissive",
    "user",
    "userrole",
];

/// Checks a policy. `allowed_inherit` says whether `blockinherit` may name a block.
pub fn check(policy: &str, allowed_inherit: &dyn Fn(&str) -> bool) -> Result<(), Refusal> {
    if policy.trim().is_empty() {
        return Err(Refusal::Empty);
    }
    if policy.contains('\0') {
        return Err(Refusal::Nul);
    }
    let length = policy.chars().count();
    if length > POLICY_MAX {
        return Err(Refusal::TooLong(length));
    }
    let mut tokens = Lexer::new(policy);
    let mut depth = 0_usize;
    let mut directive_next = false;
    while let Some(token) = tokens.next().transpose()? {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.checked_sub(1).ok_or(Refusal::Unmatched)?,
            Token::Word(word) if directive_next => match directive(word).as_str() {
                "blockinherit" => {
                    depth = inherit(&mut tokens, depth, allowed_inherit)?;
                }
                restricted if RESTRICTED.contains(&restricted) => {
                    return Err(Refusal::Restricted(restricted.to_owned()));
                }
                _ => {}
            },
            Token::Word(_) => {}
        }
        directive_next = token == Token::Open;
    }
    if depth > 0 {
        return Err(Refusal::Unbalanced);
    }
    Ok(())
}

/// The blocks that a policy inherits, in order, each once. Of a policy that is refused, some.
pub fn inherits(policy: &str) -> Vec<String> {
    let names = std::cell::RefCell::new(Vec::new());
    let note = |name: &str| {
        let mut names = names.borrow_mut();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        true
    };
    // Whether the policy is refused is for others to ask.
    let _verdict = check(policy, &note);
    names.into_inner()
}

/// Puts a policy that has been checked into its block (contract 02a, 3.5). The name of the block is
/// the name of the profile, so that `status.usage` is the name of a type.
pub fn wrap(name: &BlockName, policy: &str) -> String {
    let policy = policy.trim().replace('\n', "\n    ");
    format!("(block {name}\n    {}\n)", policy.trim())
}

/// Whether a text is as [`wrap`] makes it for the profile of this name, whatever its policy.
pub fn is_wrapped(name: &BlockName, text: &str) -> bool {
    let policy = text
        .strip_prefix(&format!("(block {name}\n    "))
        .and_then(|rest| rest.strip_suffix("\n)"));
    policy.is_some_and(|policy| {
        policy
            .split('\n')
            .skip(1)
            .all(|line| line.starts_with("    "))
    })
}

/// What a word says in directive position. Where it ends is narrower than in CIL, and case is
/// ignored, as upstream has it: stricter, and the same refusals.
fn directive(word: &str) -> String {
    let ends = |char: char| !(char.is_alphanumeric() || char == '_' || char == '-');
    let start = word.trim_start_matches(ends);
    let end = start.find(ends).unwrap_or(start.len());
    start.get(..end).unwrap_or(start).to_lowercase()
}

/// What comes after `(blockinherit`: one name, and the end of the statement. Returns the depth
/// after it.
fn inherit(
    tokens: &mut Lexer<'_>,
    depth: usize,
    allowed: &dyn Fn(&str) -> bool,
) -> Result<usize, Refusal> {
    let name = match tokens.next().transpose()? {
        Some(Token::Word(name)) => name,
        Some(Token::Open | Token::Close) => return Err(Refusal::Inherit(String::new())),
        None => return Err(Refusal::Unbalanced),
    };
    if !allowed(name) {
        return Err(Refusal::Inherit(name.to_owned()));
    }
    match tokens.next().transpose()? {
        Some(Token::Close) => Ok(depth.saturating_sub(1)),
        Some(Token::Word(more)) => Err(Refusal::Inherit(format!("{name} {more}"))),
        Some(Token::Open) => Err(Refusal::Inherit(format!("{name} ("))),
        None => Err(Refusal::Unbalanced),
    }
}

#[cfg(test)]
mod tests;
