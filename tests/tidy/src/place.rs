//! No file names a place of one machine: what works here is to work on every machine.

use crate::{problem::Problem, tree::Tree};

/// Where some of us work. Written in pieces, because this file is one of ours.
const WORKPLACE: &str = concat!("/wo", "rk/");

/// Hosts which package clients ask. Which of them, and by what way, is a setting of the machine.
const REGISTRIES: [&str; 10] = [
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("files.pythonhosted", ".org"),
    concat!("pypi", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("sum.golang", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("repo.maven.apache", ".org"),
];

/// No text names the directory of a workplace or the host of a package registry.
pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (file, text) in tree.texts() {
        for (line, number) in text.lines().zip(1..) {
            if let Some((what, fix)) = refusal(line) {
                problems.push(Problem::new(file, number, what, fix));
            }
        }
    }
    problems
}

fn refusal(line: &str) -> Option<(String, &'static str)> {
    let ends_word =
        |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || "._-}~$".contains(c));
    let mut places = line.match_indices(WORKPLACE).map(|(at, _)| &line[..at]);
    if places.any(|before| !ends_word(before)) {
        return Some((
            format!("it names the directory {WORKPLACE} of one machine"),
            "use a path relative to the repository, or to the file",
        ));
    }
    let registry = REGISTRIES.into_iter().find(|host| line.contains(host))?;
    Some((
        format!("it names the package registry {registry}"),
        "leave it to the package client and its settings which registry it asks",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::assert_says;

    #[test]
    fn places_of_a_machine_are_seen() {
        let script = format!("cd {WORKPLACE}main\ncurl 'https://{}/x'\n", REGISTRIES[0]);
        assert_says(
            &check(&Tree::from([("hack/x", script.as_str())])),
            &[
                &format!("hack/x:1: it names the directory {WORKPLACE} of one machine"),
                &format!("hack/x:2: it names the package registry {}", REGISTRIES[0]),
            ],
        );
    }

    #[test]
    fn a_directory_of_that_name_elsewhere_is_nobodys_place() {
        let script = format!("cd \"$dir{WORKPLACE}x\" ~{WORKPLACE}x a{WORKPLACE}x\n");
        assert_says(&check(&Tree::from([("hack/x", script.as_str())])), &[]);
    }
}
