//! What happens to a system call: an action together with the number that it returns.

use spo_api::seccomp_profile::Action;

/// What runc and crun return for `SCMP_ACT_ERRNO` and `SCMP_ACT_TRACE` without `errnoRet`.
const EPERM: i32 = 1;

/// An action and its `errnoRet`, both as written.
///
/// Two effects are the same if [`Effect::code`] is, since that is all that a kernel gets to see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect {
    pub(crate) action: Action,
    pub(crate) errno_ret: Option<i32>,
}

impl Effect {
    /// The effect of a default action, for which the API has no errno.
    pub(crate) fn of_default(action: Action) -> Self {
        Self {
            action,
            errno_ret: None,
        }
    }

    /// What a runtime hands to libseccomp: which action, and the 16 bits of data beside it.
    ///
    /// `KILL` is libseccomp's older name of `KILL_THREAD`. Only `ERRNO` and `TRACE` carry data; the
    /// API server can not tell an absent `errnoRet` from 0, so 0 is the default as well.
    pub(crate) fn code(self) -> (Action, u16) {
        let action = match self.action {
            Action::Kill => Action::KillThread,
            action => action,
        };
        let data = match (action, self.errno_ret) {
            (Action::Errno | Action::Trace, None | Some(0)) => EPERM,
            (Action::Errno | Action::Trace, Some(number)) => number,
            _ => 0,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "as runc does"
        )]
        (action, data as u16)
    }
}

impl PartialEq for Effect {
    fn eq(&self, other: &Self) -> bool {
        self.code() == other.code()
    }
}

impl Eq for Effect {}

/// How little an action restricts: 0 is the most restrictive one. Source: contract 02a, 2.4.
pub(crate) fn rank(action: Action) -> u8 {
    match action {
        Action::KillProcess => 0,
        Action::Kill | Action::KillThread => 1,
        Action::Trap => 2,
        Action::Errno => 3,
        Action::Notify => 4,
        Action::Trace => 5,
        Action::Log => 6,
        Action::Allow => 7,
    }
}

/// Whether an action lets a system call happen, or leaves that to somebody outside the kernel.
pub(crate) fn is_granting(action: Action) -> bool {
    match action {
        Action::Allow | Action::Log | Action::Trace | Action::Notify => true,
        Action::Kill | Action::KillProcess | Action::KillThread | Action::Trap | Action::Errno => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_the_same_if_the_kernel_sees_the_same() {
        let effect = |action, errno_ret| Effect { action, errno_ret };
        for (left, right, same) in [
            (
                effect(Action::Errno, None),
                effect(Action::Errno, Some(0)),
                true,
            ),
            (
                effect(Action::Errno, None),
                effect(Action::Errno, Some(1)),
                true,
            ),
            (
                effect(Action::Errno, None),
                effect(Action::Errno, Some(38)),
                false,
            ),
            (
                effect(Action::Trace, Some(1)),
                effect(Action::Trace, None),
                true,
            ),
            (
                effect(Action::Kill, None),
                effect(Action::KillThread, None),
                true,
            ),
            (
                effect(Action::Kill, None),
                effect(Action::KillProcess, None),
                false,
            ),
            (
                effect(Action::Allow, Some(5)),
                effect(Action::Allow, None),
                true,
            ),
            (
                effect(Action::Errno, Some(65537)),
                effect(Action::Errno, Some(1)),
                true,
            ),
        ] {
            assert_eq!(left == right, same, "{left:?} {right:?}");
        }
    }

    #[test]
    fn granting_actions_rank_above_denying_ones() {
        for granting in Action::ALL.iter().filter(|action| is_granting(**action)) {
            for denying in Action::ALL.iter().filter(|action| !is_granting(**action)) {
                assert!(rank(*granting) > rank(*denying), "{granting} {denying}");
            }
        }
    }
}
