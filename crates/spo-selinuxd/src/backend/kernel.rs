//! selinuxfs: what policy the kernel has.
//!
//! A context which is written to `context` is checked against the policy in the kernel: the write
//! succeeds, or fails with EINVAL (security_context_str_to_sid in the kernel's
//! security/selinux/selinuxfs.c). It takes `check_context` of class `security`, else EACCES.
//! `status` counts the loads: its fourth word of 32 bits (struct selinux_kernel_status).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The selinuxfs of a node.
#[derive(Debug, Clone)]
pub(crate) struct Kernel(PathBuf);

/// Longer contexts do not fit into a page with a type of ours in them.
const CONTEXT: u64 = 1024;

impl Kernel {
    pub(crate) fn new(selinuxfs: PathBuf) -> Self {
        Self(selinuxfs)
    }

    /// Whether there is a kernel with SELinux whose files can be seen.
    pub(crate) fn is_there(&self) -> bool {
        self.0.join("policyvers").exists()
    }

    /// How often the kernel has loaded a policy. `None`: it does not say.
    pub(crate) fn loads(&self) -> Option<u32> {
        let mut status = [0; 20];
        let mut file = File::open(self.0.join("status")).ok()?;
        file.read_exact(&mut status).ok()?;
        let word = status.get(12..16)?;
        Some(u32::from_ne_bytes(word.try_into().ok()?))
    }

    /// Whether the kernel knows the type of a module. `None`: it does not say.
    pub(crate) fn knows(&self, module: &str) -> Option<bool> {
        // A context which is valid for sure, and as it is written on this node, with MLS or not.
        let known = self.unlabeled()?;
        let context = with_type(&known, &format!("{module}.process"))?;
        match check(&self.0, &context) {
            Ok(()) => Some(true),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                check(&self.0, &known).is_ok().then_some(false)
            }
            Err(_not_allowed) => None,
        }
    }

    fn unlabeled(&self) -> Option<String> {
        let file = File::open(self.0.join("initial_contexts/unlabeled")).ok()?;
        let mut context = String::new();
        file.take(CONTEXT).read_to_string(&mut context).ok()?;
        Some(context.trim_end_matches('\0').trim_end().to_owned())
    }
}

fn check(selinuxfs: &Path, context: &str) -> io::Result<()> {
    let path = selinuxfs.join("context");
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut bytes = context.as_bytes().to_vec();
    bytes.push(0);
    // One write is one question.
    file.write(&bytes).map(|_length| ())
}

/// `user:role:type`, with a range behind it or not, with another type.
fn with_type(context: &str, other: &str) -> Option<String> {
    let mut parts = context.splitn(4, ':');
    let (user, role, _type) = (parts.next()?, parts.next()?, parts.next()?);
    Some(match parts.next() {
        Some(range) => format!("{user}:{role}:{other}:{range}"),
        None => format!("{user}:{role}:{other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_is_exchanged() {
        for (context, expected) in [
            (
                "system_u:object_r:unlabeled_t:s0",
                "system_u:object_r:a.process:s0",
            ),
            ("u:r:t:s0-s0:c0.c1023", "u:r:a.process:s0-s0:c0.c1023"),
            ("u:r:t", "u:r:a.process"),
        ] {
            assert_eq!(with_type(context, "a.process").as_deref(), Some(expected));
        }
        assert_eq!(with_type("unlabeled", "a.process"), None);
    }

    /// A directory with files in place of selinuxfs: every context is right.
    #[test]
    fn the_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Kernel::new(dir.path().to_owned());
        assert!(!kernel.is_there());
        assert_eq!((kernel.loads(), kernel.knows("a")), (None, None));
        let put = |name: &str, bytes: &[u8]| {
            let mut file = File::create(dir.path().join(name)).unwrap();
            file.write_all(bytes).unwrap();
        };
        std::fs::create_dir(dir.path().join("initial_contexts")).unwrap();
        put("policyvers", b"33");
        let words: [u32; 5] = [1, 2, 1, 7, 0];
        put("status", &words.map(u32::to_ne_bytes).concat());
        put(
            "initial_contexts/unlabeled",
            b"system_u:object_r:unlabeled_t:s0\0",
        );
        put("context", b"");
        assert!(kernel.is_there());
        assert_eq!((kernel.loads(), kernel.knows("a")), (Some(7), Some(true)));
        let asked = std::fs::read(dir.path().join("context")).unwrap();
        assert_eq!(asked, b"system_u:object_r:a.process:s0\0");
    }
}
