//! Pure. A module file: its name, its digest, and what its text says about itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::status::is_policy_name;

/// The SHA-256 of a module's text, in hexadecimal: what `semodule --checksum` prints, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Digest(pub(crate) String);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A file of the drop directory which is meant as a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// With its extension.
    pub(crate) file: String,
    /// Of the content.
    pub(crate) digest: Digest,
    /// Whether the store keeps the content as it is: CIL; a policy package is translated.
    pub(crate) is_cil: bool,
    /// The words of the text, where it is CIL: what it may refer to.
    pub(crate) words: BTreeSet<String>,
    /// Whether it makes the type `<name>.process`, so that the kernel can be asked for it.
    pub(crate) makes_process: bool,
    /// Why it is not even tried.
    pub(crate) refusal: Option<String>,
}

/// The extensions of upstream (contract 02a, 3.8), the preferred one first.
const EXTENSIONS: [&str; 2] = [".cil", ".pp"];

/// The module which a file holds; `None`: a file of this name holds none.
pub(crate) fn name_of(file: &str) -> Option<&str> {
    let name = EXTENSIONS
        .iter()
        .find_map(|extension| file.strip_suffix(extension))?;
    is_policy_name(name).then_some(name)
}

impl Module {
    /// Reads the module `name` out of the content of its file.
    pub(crate) fn read(name: &str, file: &str, bytes: &[u8]) -> Self {
        let is_cil = file.ends_with(EXTENSIONS[0]);
        let words = if is_cil {
            words(bytes)
        } else {
            Words::default()
        };
        Self {
            file: file.to_owned(),
            digest: Digest::of(bytes),
            is_cil,
            makes_process: words.blocks.contains(name)
                && (words.inherits || words.types.contains("process")),
            words: words.all,
            refusal: bytes.is_empty().then(|| "the file is empty".to_owned()),
        }
    }

    /// A module whose file can not be taken.
    pub(crate) fn refused(file: &str, reason: String) -> Self {
        Self {
            file: file.to_owned(),
            digest: Digest::of(reason.as_bytes()),
            is_cil: true,
            words: BTreeSet::new(),
            makes_process: false,
            refusal: Some(reason),
        }
    }

    /// Whether its text has this name in it: it may need that module.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        // Names are qualified by a dot: `other.process`.
        self.words.contains(name)
            || self
                .words
                .range(format!("{name}.")..)
                .next()
                .is_some_and(|word| word.starts_with(&format!("{name}.")))
    }
}

#[derive(Debug, Default)]
struct Words {
    all: BTreeSet<String>,
    blocks: BTreeSet<String>,
    types: BTreeSet<String>,
    inherits: bool,
}

/// The words of CIL, without parentheses, strings and comments. Not a parser: semodule is one.
fn words(bytes: &[u8]) -> Words {
    let text = String::from_utf8_lossy(bytes);
    let mut words = Words::default();
    for line in text.lines() {
        let code = line.split(';').next().unwrap_or_default();
        let mut before = "";
        let tokens = code.split(|char: char| char.is_whitespace() || "()\"".contains(char));
        for word in tokens.filter(|word| !word.is_empty()) {
            match before {
                "block" => drop(words.blocks.insert(word.to_owned())),
                "type" => drop(words.types.insert(word.to_owned())),
                "blockinherit" => words.inherits = true,
                _ => {}
            }
            words.all.insert(word.to_owned());
            before = word;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_names_hold_no_module() {
        assert_eq!(name_of("a_ns.cil"), Some("a_ns"));
        assert_eq!(name_of("a.b.pp"), Some("a.b"));
        for file in [
            ".cil", ".a.cil", "a", "a.txt", "a b.cil", "a.cil~", "a\n.cil",
        ] {
            assert_eq!(name_of(file), None, "{file}");
        }
    }

    #[test]
    fn what_a_module_mentions_and_makes_is_read() {
        let text = b"(block b ; of c\n(blockinherit container)\n(allow process a.process (x (y))))";
        let module = Module::read("b", "b.cil", text);
        assert!(module.makes_process);
        assert!(module.mentions("a") && module.mentions("container"));
        assert!(!module.mentions("c") && !module.mentions("proc") && !module.mentions("a.p"));
        let other = Module::read("c", "c.cil", text);
        assert!(!other.makes_process);
        let own = Module::read("c", "c.cil", b"(block c (type process))");
        assert!(own.makes_process);
        assert!(!Module::read("c", "c.cil", b"(block c)").makes_process);
        let package = Module::read("c", "c.pp", text);
        assert!(!package.is_cil && package.words.is_empty());
    }

    #[test]
    fn a_digest_is_what_sha256sum_prints() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").0, empty);
        assert!(Module::read("a", "a.cil", b"").refusal.is_some());
    }
}
