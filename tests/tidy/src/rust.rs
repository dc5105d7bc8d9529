//! A Rust file as tokens, without comments and without what only tests see.

use std::iter::Peekable;

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream};

/// The tokens of a file. `None` if rustc would not take it apart either.
pub(crate) fn tokens(text: &str) -> Option<TokenStream> {
    text.parse().ok()
}

/// What stands where, in the order of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// `std::{fs, io}` is two of them, `x` alone is one too.
    pub(crate) parts: Vec<String>,
    pub(crate) line: usize,
}

/// All paths and names of a file, but for those in code under `#[cfg(test)]` or `#[test]`.
pub(crate) fn paths(tokens: TokenStream) -> Vec<Path> {
    let mut found = Vec::new();
    if !tests_only(&tokens) {
        collect_paths(tokens, &[], &mut found);
    }
    found
}

fn collect_paths(tokens: TokenStream, within: &[String], found: &mut Vec<Path>) {
    let mut rest = tokens.into_iter().peekable();
    // What `::{` opened holds for every path inside, and for nothing deeper.
    while let Some(token) = rest.next() {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == '#' => skip_if_for_tests(&mut rest),
            TokenTree::Group(group) => collect_paths(group.stream(), &[], found),
            TokenTree::Ident(first) => {
                let line = first.span().start().line;
                let mut parts = [within, &[first.to_string()]].concat();
                loop {
                    match after_colons(&mut rest) {
                        Some(TokenTree::Ident(next)) => parts.push(next.to_string()),
                        Some(TokenTree::Group(group)) => {
                            collect_paths(group.stream(), &parts, found);
                            break;
                        }
                        _ => {
                            found.push(Path { parts, line });
                            break;
                        }
                    }
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

type Tokens = Peekable<token_stream::IntoIter>;

/// What follows `::`, if that is a name or a group in braces.
fn after_colons(rest: &mut Tokens) -> Option<TokenTree> {
    let mut ahead = rest.clone();
    for _ in 0..2 {
        ahead.next_if(|token| is_punct(token, ':'))?;
    }
    let next = ahead.next_if(|token| match token {
        TokenTree::Ident(_) => true,
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    });
    *rest = ahead;
    next
}

/// After a `#`: skips the attribute, and the item which follows if the attribute is for tests.
///
/// An item ends with its first block or semicolon.
fn skip_if_for_tests(rest: &mut Tokens) {
    rest.next_if(|token| is_punct(token, '!'));
    let Some(TokenTree::Group(attribute)) = rest.peek() else {
        return;
    };
    if !is_for_tests(attribute.stream()) {
        return;
    }
    for token in rest {
        let block =
            matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        if block || is_punct(&token, ';') {
            return;
        }
    }
}

/// `test`, `tokio::test`, `cfg(test)`, `cfg(all(test, …))`; not `cfg(any(test, …))`.
fn is_for_tests(attribute: TokenStream) -> bool {
    let text = attribute.to_string().replace(' ', "");
    text == "test"
        || text.starts_with("tokio::test")
        || text == "cfg(test)"
        || text.starts_with("cfg(all(test,")
}

/// Whether a file opens with `#![cfg(test)]`, after other such attributes.
pub(crate) fn tests_only(tokens: &TokenStream) -> bool {
    let mut rest = tokens.clone().into_iter();
    while let (Some(hash), Some(bang), Some(TokenTree::Group(attribute))) =
        (rest.next(), rest.next(), rest.next())
    {
        if !is_punct(&hash, '#') || !is_punct(&bang, '!') {
            return false;
        }
        if is_for_tests(attribute.stream()) {
            return true;
        }
    }
    false
}

/// A file which another one pulls in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Child {
    /// Names of the modules around it and its own: `mod a { mod b; }` is `a`, `b`.
    pub(crate) names: Vec<String>,
    /// From `#[path = "…"]` or `include!("…")`, relative to the directory of the file.
    pub(crate) path: Option<String>,
    /// Only tests see it.
    pub(crate) for_tests: bool,
}

/// The `mod name;` and `include!("name.rs")` of a file.
pub(crate) fn children(tokens: TokenStream) -> Vec<Child> {
    let for_tests = tests_only(&tokens);
    let mut found = Vec::new();
    collect_children(tokens, &[], for_tests, &mut found);
    found
}

fn collect_children(
    tokens: TokenStream,
    within: &[String],
    for_tests: bool,
    found: &mut Vec<Child>,
) {
    let mut rest = tokens.into_iter().peekable();
    let mut attributes: Vec<TokenStream> = Vec::new();
    while let Some(token) = rest.next() {
        match &token {
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                rest.next_if(|token| is_punct(token, '!'));
                if let Some(TokenTree::Group(attribute)) = rest.next() {
                    attributes.push(attribute.stream());
                }
                continue;
            }
            // `pub`, `pub(crate)`: the attributes are still those of the item.
            TokenTree::Ident(word) if word == "pub" => {
                rest.next_if(|token| is_group(token, Delimiter::Parenthesis));
                continue;
            }
            TokenTree::Ident(word) if word == "mod" => {
                let Some(TokenTree::Ident(name)) = rest.next() else {
                    continue;
                };
                let names = [within, &[name.to_string()]].concat();
                let for_tests = for_tests || attributes.iter().cloned().any(is_for_tests);
                match rest.next() {
                    Some(TokenTree::Group(inline)) => {
                        collect_children(inline.stream(), &names, for_tests, found);
                    }
                    _ => {
                        let path = attributes.iter().find_map(path_attribute);
                        found.push(Child {
                            names,
                            path,
                            for_tests,
                        });
                    }
                }
            }
            TokenTree::Ident(word) if word == "include" => {
                rest.next_if(|token| is_punct(token, '!'));
                if let Some(TokenTree::Group(arguments)) = rest.next() {
                    let path = only_string(arguments.stream());
                    found.push(Child {
                        names: Vec::new(),
                        path,
                        for_tests,
                    });
                }
            }
            _ => {}
        }
        attributes.clear();
    }
}

fn path_attribute(attribute: &TokenStream) -> Option<String> {
    let mut rest = attribute.clone().into_iter();
    let name = rest.next()?.to_string();
    let equals = rest.next()?;
    (name == "path" && is_punct(&equals, '=')).then(|| only_string(rest.collect()))?
}

/// The content of a plain string literal.
fn only_string(tokens: TokenStream) -> Option<String> {
    let text = tokens.to_string();
    Some(text.strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}

/// How many lines the initializers of `const` and `static` arrays take up.
pub(crate) fn table_lines(tokens: TokenStream) -> usize {
    let mut lines = 0;
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        match token {
            TokenTree::Ident(word) if word == "const" || word == "static" => {
                // `const fn` has no `=` before its block, and that block is no array.
                let initializer = rest
                    .by_ref()
                    .take_while(|token| !is_punct(token, ';'))
                    .skip_while(|token| !is_punct(token, '='))
                    .find(|token| is_group(token, Delimiter::Bracket));
                if let Some(table) = initializer {
                    let span = table.span();
                    lines += span.end().line - span.start().line;
                }
            }
            TokenTree::Group(group) => lines += table_lines(group.stream()),
            _ => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_paths(text: &str, expected: &[&str]) {
        let found: Vec<String> = paths(tokens(text).unwrap())
            .iter()
            .map(|path| path.parts.join("::"))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn paths_are_found_whole() {
        check_paths("use std::fs;", &["use", "std::fs"]);
        check_paths(
            "use std::{fs, io::{self, Read}};",
            &["use", "std::fs", "std::io::self", "std::io::Read"],
        );
        check_paths("a::b::<c::d>()", &["a::b", "c::d"]);
        check_paths("f(x, { g::h })", &["f", "x", "g::h"]);
        check_paths("S { a: b::C { d } }", &["S", "a", "b::C", "d"]);
    }

    #[test]
    fn comments_and_texts_hold_no_paths() {
        check_paths("// a::b\n/* c /* d */ e */ \"f::g\" r#\"h\"# 'i' b'j'", &[]);
    }

    #[test]
    fn code_for_tests_holds_no_paths() {
        check_paths("a; #[cfg(test)] mod tests { use std::fs; } b", &["a", "b"]);
        check_paths("#[cfg(test)] mod tests; b", &["b"]);
        check_paths("#[test] #[ignore] fn f<A, B>() -> C { d } e", &["e"]);
        check_paths(
            "mod m { #[cfg(all(test, unix))] use x::y; z }",
            &["mod", "m", "z"],
        );
        check_paths("#![allow(x)] #![cfg(test)] use std::fs;", &[]);
    }

    #[test]
    fn other_attributes_hide_nothing() {
        check_paths("#[derive(A)] struct S;", &["derive", "A", "struct", "S"]);
        check_paths(
            "#[cfg(any(test, unix))] use b;",
            &["cfg", "any", "test", "unix", "use", "b"],
        );
    }

    #[test]
    fn paths_have_lines() {
        let found = paths(tokens("a\n\n  b::c").unwrap());
        assert_eq!(
            found.iter().map(|path| path.line).collect::<Vec<_>>(),
            [1, 3]
        );
    }

    #[test]
    fn children_are_found() {
        let check = |text: &str, expected: &[(&str, Option<&str>, bool)]| {
            let expected: Vec<Child> = expected
                .iter()
                .map(|&(names, path, for_tests)| Child {
                    names: names.split_terminator("::").map(str::to_owned).collect(),
                    path: path.map(str::to_owned),
                    for_tests,
                })
                .collect();
            assert_eq!(children(tokens(text).unwrap()), expected, "{text}");
        };
        check(
            "mod a; pub(crate) mod b;",
            &[("a", None, false), ("b", None, false)],
        );
        check("mod a { mod b; }", &[("a::b", None, false)]);
        check("#[cfg(test)] pub mod a { mod b; }", &[("a::b", None, true)]);
        check("#[cfg(test)] use x; mod a;", &[("a", None, false)]);
        check(
            "#[path = \"x/y.rs\"] mod a;",
            &[("a", Some("x/y.rs"), false)],
        );
        check("include!(\"z.rs\");", &[("", Some("z.rs"), false)]);
        check("// mod a;\nconst B: &str = \"mod b;\";", &[]);
    }

    #[test]
    fn lines_of_tables_are_counted() {
        let check = |text: &str, expected| {
            assert_eq!(table_lines(tokens(text).unwrap()), expected, "{text}");
        };
        check("const A: [u8; 2] = [\n1,\n2,\n];", 3);
        check("pub static A: &[(u8, u8)] = &[\n(1, 2),\n];", 2);
        check("mod m { const A: &[u8] = &[\n1\n]; }", 2);
        check("const fn f() -> u8 {\n let a = [\n1\n];\n0 }", 0);
        check("const A: u8 = 1; fn f() { g([\n1,\n]) }", 0);
    }
}
