//! Links in our Markdown files lead somewhere: to a file of the repository, to a heading in it.

use std::collections::BTreeMap;

use crate::{
    problem::Problem,
    tree::{self, Tree},
};

/// Every relative link names a file or directory of the repository, and every anchor a heading.
pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (file, text) in tree.ending(".md") {
        for (target, line) in links(text) {
            if let Some((what, fix)) = refusal(tree, file, &target) {
                problems.push(Problem::new(file, line, what, fix));
            }
        }
    }
    problems
}

fn refusal(tree: &Tree, file: &str, target: &str) -> Option<(String, String)> {
    // Elsewhere on the network we do not look.
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let nowhere = |what: String| Some((what, "correct the link, or make what it promises".into()));
    let path = match path {
        "" => Some(file.to_owned()),
        absolute if absolute.starts_with('/') => tree::join("", absolute),
        relative => tree::join(tree::directory(file), relative),
    };
    let Some(path) = path.filter(|path| tree.has(path)) else {
        return nowhere(format!("the link {target} leads to no file of ours"));
    };
    let anchor = anchor?;
    let text = tree.text(&path).filter(|_| path.ends_with(".md"))?;
    if anchors(text).iter().any(|there| there == anchor) {
        return None;
    }
    nowhere(format!("the link {target} leads to no heading of {path}"))
}

/// Lines outside of code blocks, without code in them, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (String, usize)> {
    let mut fence: Option<&str> = None;
    text.lines().zip(1..).filter_map(move |(line, number)| {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((line.to_owned(), number)),
            (Some(_), _) => {}
        }
        None
    })
}

/// All targets of links, with their lines: `[…](target)` and `[…]: target`.
fn links(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (line, number) in prose(text) {
        let line = without_code(&line);
        for (at, _) in line.match_indices("](") {
            found.extend(destination(&line[at + 2..]).map(|target| (target, number)));
        }
        if let Some((label, rest)) = line.trim_start().split_once("]:")
            && label.starts_with('[')
            && !label.contains(']')
        {
            found.extend(
                rest.split_whitespace()
                    .next()
                    .map(|target| (target.to_owned(), number)),
            );
        }
    }
    found
}

/// What stands between the parentheses, without a title.
fn destination(rest: &str) -> Option<String> {
    if let Some(rest) = rest.strip_prefix('<') {
        return Some(rest.split_once('>')?.0.to_owned());
    }
    let mut open = 0;
    let end = rest.find(|c: char| match c {
        '(' => {
            open += 1;
            false
        }
        ')' if open > 0 => {
            open -= 1;
            false
        }
        c => c == ')' || c.is_whitespace(),
    })?;
    Some(rest[..end].to_owned())
}

/// A line with blanks where code stood.
fn without_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    let odd_is_code = |(index, part): (usize, &&str)| match index % 2 {
        1 if index + 1 < parts.len() => " ".to_owned(),
        _ => (*part).to_owned(),
    };
    parts.iter().enumerate().map(odd_is_code).collect()
}

/// The anchors of a text: of its headings, as GitHub makes them, and `<a id="…">`.
fn anchors(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for (line, _) in prose(text) {
        for mark in ["id=\"", "name=\""] {
            let ids = line
                .split(mark)
                .skip(1)
                .filter_map(|rest| rest.split_once('"'));
            found.extend(ids.map(|(id, _)| id.to_owned()));
        }
        let level = line.chars().take_while(|&c| c == '#').count();
        if (1..=6).contains(&level) && line[level..].starts_with(' ') {
            let slug = slug(line[level..].trim().trim_end_matches('#').trim_end());
            let count = uses.entry(slug.clone()).or_default();
            found.push(if *count == 0 {
                slug
            } else {
                format!("{slug}-{count}")
            });
            *count += 1;
        }
    }
    found
}

fn slug(heading: &str) -> String {
    let mut text = heading.to_owned();
    // Of a link, its text.
    while let Some(middle) = text.find("](") {
        let Some(end) = text[middle..].find(')') else {
            break;
        };
        text.replace_range(middle..=middle + end, "");
    }
    text.to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::assert_says;

    fn check_text(text: &str, expected: &[&str]) {
        let tree = Tree::from([
            ("docs/a.md", text),
            (
                "docs/b.md",
                "# Some Heading\n## `code` & more, x_y\n## Twice\n## Twice\n",
            ),
            ("src/main.rs", ""),
        ]);
        assert_says(&check(&tree), expected);
    }

    #[test]
    fn links_which_lead_somewhere() {
        check_text(
            "[a](b.md), ![b](<b.md>) and [c](../src/main.rs \"title\")",
            &[],
        );
        check_text(
            "[a](../src) [b](/src/main.rs#L3) [c](https://example.com/none)",
            &[],
        );
        check_text(
            "[a](b.md#some-heading) [b](b.md#code--more-x_y) [c](b.md#twice-1)",
            &[],
        );
        check_text("# Here\n[a](#here) [b]\n\n[b]: b.md#twice", &[]);
        check_text("<a id=\"spot\"></a> [a](#spot)", &[]);
    }

    #[test]
    fn links_to_nowhere() {
        check_text(
            "\n[a](c.md)",
            &["docs/a.md:2: the link c.md leads to no file of ours"],
        );
        check_text(
            "[a](../../b.md)",
            &["docs/a.md:1: the link ../../b.md leads to no file of ours"],
        );
        check_text(
            "[a](b.md#none) [b](#none)",
            &[
                "docs/a.md:1: the link b.md#none leads to no heading of docs/b.md",
                "docs/a.md:1: the link #none leads to no heading of docs/a.md",
            ],
        );
        check_text(
            "[b]: c.md",
            &["docs/a.md:1: the link c.md leads to no file of ours"],
        );
        check_text(
            "[a](c_(d).md)",
            &["docs/a.md:1: the link c_(d).md leads to no file of ours"],
        );
        check_text(
            "[`a`](c.md)",
            &["docs/a.md:1: the link c.md leads to no file of ours"],
        );
    }

    #[test]
    fn code_holds_no_links() {
        check_text(
            "`[a](c.md)`\n```\n[a](c.md)\n```\n~~~\n```\n[a](c.md)\n~~~",
            &[],
        );
        check_text(
            "```\n# Here\n```\n[a](#here)",
            &["docs/a.md:4: the link #here leads to no heading of docs/a.md"],
        );
    }
}
