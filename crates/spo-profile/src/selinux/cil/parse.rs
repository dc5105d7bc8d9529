//! Pure. A rendered policy as a profile again.

use spo_api::seccomp_profile::DesiredState;
use spo_api::selinux_profile::{Allow, Inherit, InheritKind, Mode, SELF, SelinuxProfileSpec};

use super::{CONTAINER, grant};
use crate::selinux::limits::Limits;
use crate::selinux::name::{BadName, BlockName};
use crate::selinux::raw::Refusal;
use crate::selinux::tree::{Tree, read};

/// Why a text is not a rendered profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No policy at all.
    #[error(transparent)]
    Text(#[from] Refusal),
    /// Not one block, or one without a name.
    #[error("the text is not one policy block")]
    NoBlock,
    /// No name of a profile.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A statement that no profile renders to; which, counted from 1.
    #[error("statement {0} of the block is not one that a SelinuxProfile can say")]
    Statement(usize),
}

/// Parses what [`render`](super::render) returns under the same limits: a policy which they permit
/// to inherit is one of the node, another is a profile.
///
/// # Errors
/// The text says something else, or more.
pub fn parse(text: &str, limits: &Limits) -> Result<(BlockName, SelinuxProfileSpec), Error> {
    let trees = read(text)?;
    let [block] = trees.as_slice() else {
        return Err(Error::NoBlock);
    };
    let Some([Tree::Word("block"), Tree::Word(name), statements @ ..]) = block.list() else {
        return Err(Error::NoBlock);
    };
    let name = BlockName::parse(name)?;
    let own = name.usage();
    let mut spec = SelinuxProfileSpec {
        state: DesiredState::default(),
        mode: Mode::Enforcing,
        inherit: Vec::new(),
        allow: Allow::new(),
    };
    for (statement, number) in statements.iter().zip(1..) {
        add(&mut spec, statement, &own, limits).ok_or(Error::Statement(number))?;
    }
    Ok((name, spec))
}

fn add(
    spec: &mut SelinuxProfileSpec,
    statement: &Tree<'_>,
    own: &str,
    limits: &Limits,
) -> Option<()> {
    match statement.list()? {
        [Tree::Word("blockinherit"), Tree::Word(block)] => {
            let system = *block == CONTAINER || limits.permits_system(block);
            spec.inherit.push(Inherit {
                kind: if system {
                    InheritKind::System
                } else {
                    InheritKind::SelinuxProfile
                },
                name: (*block).to_owned(),
            });
        }
        [Tree::Word("typepermissive"), Tree::Word("process")] => spec.mode = Mode::Permissive,
        [
            Tree::Word("allow"),
            Tree::Word("process"),
            Tree::Word(target),
            Tree::List(access),
        ] => {
            let [Tree::Word(class), Tree::List(permissions)] = access.as_slice() else {
                return None;
            };
            let permissions: Option<Vec<&str>> = permissions.iter().map(Tree::word).collect();
            let label = if *target == own { SELF } else { target };
            grant(&mut spec.allow, label, class, permissions?.into_iter());
        }
        _ => return None,
    }
    Some(())
}
