//! Pure. The name of a profile as the name of a block, of a module and of a file.

use super::word::is_identifier;

/// The directory on the node from which selinuxd installs modules.
pub const DROP_DIR: &str = "/etc/selinux.d";

/// What follows after the name of a block in the type of its processes.
const PROCESS: &str = ".process";

/// What the file of a module ends in.
const SUFFIX: &str = ".cil";

/// Longest name: the file must fit into `NAME_MAX`, 255 bytes.
const LENGTH_MAX: usize = 255 - SUFFIX.len();

/// Modules that a node can not do without. One of the same name would take their place.
const RESERVED: [&str; 2] = ["base", "container"];

/// A name that can be declared in CIL. Holding one proves that the text can stand in a policy and
/// in a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockName(String);

/// A name that is none of CIL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Kubernetes allows more than CIL does.
    #[error(
        "metadata.name: {0:?} can not be the name of an SELinux policy block: it must begin with a \
         letter and hold only letters, digits, '-' and '_', no dots; create the profile under \
         such a name"
    )]
    NotCil(String),
    /// The file would have too long a name.
    #[error(
        "metadata.name: the name is {0} characters long, and {LENGTH_MAX} are the most that an \
         SELinux module may have; create the profile under a shorter name"
    )]
    TooLong(usize),
    /// The module would take the place of another.
    #[error(
        "metadata.name: {0:?} is the name of a policy of the node, which the profile would \
         replace; create the profile under another name"
    )]
    Taken(String),
}

impl BlockName {
    /// Checks the name of an object.
    ///
    /// # Errors
    /// The name can not be used.
    pub fn parse(name: &str) -> Result<Self, BadName> {
        if RESERVED.contains(&name) {
            return Err(BadName::Taken(name.to_owned()));
        }
        if !is_identifier(name) {
            return Err(BadName::NotCil(name.to_owned()));
        }
        if name.len() > LENGTH_MAX {
            return Err(BadName::TooLong(name.len()));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the file in [`DROP_DIR`].
    pub fn file(&self) -> String {
        format!("{self}{SUFFIX}")
    }

    /// The type of a process under the profile: `status.usage`, and what a pod writes in
    /// `seLinuxOptions.type`.
    pub fn usage(&self) -> String {
        format!("{self}{PROCESS}")
    }

    /// The profile to which the type of a process belongs, if it can belong to one.
    pub fn of_usage(usage: &str) -> Option<Self> {
        Self::parse(usage.strip_suffix(PROCESS)?).ok()
    }

    /// The profile to which a file in [`DROP_DIR`] belongs, if it can belong to one.
    pub fn of_file(file: &str) -> Option<Self> {
        Self::parse(file.strip_suffix(SUFFIX)?).ok()
    }
}

impl std::fmt::Display for BlockName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_files_and_types() {
        let name = BlockName::parse("nginx-secure").unwrap();
        assert_eq!(name.file(), "nginx-secure.cil");
        assert_eq!(name.usage(), "nginx-secure.process");
        assert_eq!(BlockName::of_usage(&name.usage()).as_ref(), Some(&name));
        for other in ["spc_t", ".process", "process", "a.b.process"] {
            assert_eq!(BlockName::of_usage(other), None, "{other}");
        }
        assert_eq!(BlockName::of_file("nginx-secure.cil"), Some(name));
        for other in ["nginx-secure", "a.b.cil", ".cil", "container.cil", "a.pp"] {
            assert_eq!(BlockName::of_file(other), None, "{other}");
        }
    }

    #[test]
    fn other_names_are_refused_with_a_fix() {
        let check = |name: &str, text: &str| {
            let error = BlockName::parse(name).unwrap_err().to_string();
            assert!(error.starts_with("metadata.name: "), "{error}");
            assert!(error.contains("create the profile under"), "{error}");
            assert!(error.contains(text), "{error}");
        };
        for name in ["1a", "a.b", "a/b", "", "a b", "a)", "-a"] {
            check(name, "can not be the name of an SELinux policy block");
        }
        check(&"a".repeat(252), "252 characters");
        check("container", "\"container\" is the name of a policy");
        check("base", "\"base\" is the name of a policy");
        assert!(BlockName::parse(&"a".repeat(251)).is_ok());
    }
}
