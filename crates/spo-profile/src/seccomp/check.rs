//! What the administrator permits profiles to contain.
//!
//! Both lists come from `spec.security` of the SecurityProfilesOperatorDaemon; an empty one
//! restricts nothing.
//!
//! * `allowedSeccompActions`: only these actions may occur. Lists from clusters that ran the
//!   upstream operator name granting actions only, because it took no others. So a list without any
//!   denying action restricts the granting ones and leaves the denying ones free, which grant
//!   nothing; a list with at least one denying action is taken literally.
//! * `allowedSyscalls`: a rule may grant no others, and the default action may grant none at all.
//!
//! Granting actions are ALLOW, LOG, TRACE and NOTIFY. What is checked is the resolved profile.

use std::collections::BTreeSet;

use spo_api::seccomp_profile::{Action, SeccompProfileSpec};

use super::effect::is_granting;

/// What the administrator permits. An empty set permits everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// `spec.security.allowedSyscalls`.
    pub allowed_syscalls: BTreeSet<String>,
    /// `spec.security.allowedSeccompActions`.
    pub allowed_actions: BTreeSet<Action>,
}

impl Restrictions {
    /// Everything is permitted.
    pub fn unrestricted() -> Self {
        Self::default()
    }

    /// Whether an action may occur, as the default one or in a rule.
    pub fn permits_action(&self, action: Action) -> bool {
        let restricts_denying = self
            .allowed_actions
            .iter()
            .any(|action| !is_granting(*action));
        self.allowed_actions.is_empty()
            || self.allowed_actions.contains(&action)
            || (!is_granting(action) && !restricts_denying)
    }

    /// Whether a rule may grant a system call.
    pub fn permits_syscall(&self, name: &str) -> bool {
        self.allowed_syscalls.is_empty() || self.allowed_syscalls.contains(name)
    }
}

/// The first breach of the restrictions. The start of each text is upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An action may not occur.
    #[error(
        "seccomp action not allowed: {action}: {field} is {action}; add it to \
         spec.security.allowedSeccompActions of the SecurityProfilesOperatorDaemon or use another \
         action in the profile"
    )]
    Action {
        /// The action.
        action: Action,
        /// The path of a field which has it.
        field: String,
    },
    /// A rule grants a system call which may not be granted. Of several, the first by name.
    #[error(
        "syscall not allowed: {name}: spec.syscalls lists it with {action}; add it to \
         spec.security.allowedSyscalls of the SecurityProfilesOperatorDaemon or remove it from the \
         profile and its base profiles"
    )]
    Syscall {
        /// The system call.
        name: String,
        /// The action of the rule.
        action: Action,
    },
    /// The default action grants whatever no rule names, and only some system calls may be granted.
    #[error(
        "seccomp profile not allowed: spec.defaultAction is {action}, which grants system calls \
         that are not in spec.security.allowedSyscalls of the SecurityProfilesOperatorDaemon; use \
         SCMP_ACT_ERRNO or another denying action, or empty that list"
    )]
    DefaultAction {
        /// The default action.
        action: Action,
    },
}

/// Checks a profile, whose base profiles are resolved, against the restrictions.
///
/// # Errors
/// The profile contains something that is not permitted.
pub fn check(spec: &SeccompProfileSpec, restrictions: &Restrictions) -> Result<(), Violation> {
    check_actions(spec, restrictions)?;
    let granting = spec
        .syscalls
        .iter()
        .filter(|entry| is_granting(entry.action));
    let granted = granting.flat_map(|entry| entry.names.iter().map(|name| (name, entry.action)));
    let refused = granted.filter(|(name, _)| !restrictions.permits_syscall(name));
    if let Some((name, action)) = refused.min() {
        return Err(Violation::Syscall {
            name: name.clone(),
            action,
        });
    }
    if !restrictions.allowed_syscalls.is_empty() && is_granting(spec.default_action) {
        return Err(Violation::DefaultAction {
            action: spec.default_action,
        });
    }
    Ok(())
}

fn check_actions(spec: &SeccompProfileSpec, restrictions: &Restrictions) -> Result<(), Violation> {
    let default = ("spec.defaultAction".to_owned(), spec.default_action);
    let rules = spec.syscalls.iter().enumerate();
    let rules =
        rules.map(|(index, entry)| (format!("spec.syscalls[{index}].action"), entry.action));
    let mut actions = std::iter::once(default).chain(rules);
    match actions.find(|(_, action)| !restrictions.permits_action(*action)) {
        Some((field, action)) => Err(Violation::Action { action, field }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spo_api::seccomp_profile::Syscall;

    use Action::{Allow, Errno, Kill, Log, Notify};

    fn spec(default_action: Action, rules: &[(&str, Action)]) -> SeccompProfileSpec {
        let entry = |(names, action): &(&str, Action)| Syscall {
            names: names.split(' ').map(str::to_owned).collect(),
            action: *action,
            errno_ret: None,
            args: vec![],
        };
        let syscalls = rules.iter().map(entry).collect();
        SeccompProfileSpec {
            default_action,
            syscalls,
            ..SeccompProfileSpec::default()
        }
    }

    fn violation(
        spec: &SeccompProfileSpec,
        allowed_syscalls: &[&str],
        allowed_actions: &[Action],
    ) -> Option<String> {
        let restrictions = Restrictions {
            allowed_syscalls: allowed_syscalls
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
            allowed_actions: allowed_actions.iter().copied().collect(),
        };
        let violation = check(spec, &restrictions).err()?.to_string();
        // The start is what upstream says.
        let parts: Vec<&str> = violation.split(": ").collect();
        Some(if parts.len() == 3 {
            parts[..2].join(": ")
        } else {
            parts[0].to_owned()
        })
    }

    #[test]
    fn restrictions_restrict() {
        let allows = spec(Errno, &[("read write", Allow)]);
        let logs = spec(Log, &[("read", Allow)]);
        let kills = spec(Kill, &[("read", Allow), ("mount", Errno)]);
        let not_allowed = |text: &str| Some(text.to_owned());
        for (spec, syscalls, actions, expected) in [
            (&allows, vec![], vec![], None),
            (&allows, vec!["read", "write", "open"], vec![], None),
            (
                &allows,
                vec!["read"],
                vec![],
                not_allowed("syscall not allowed: write"),
            ),
            (
                &allows,
                vec!["open"],
                vec![],
                not_allowed("syscall not allowed: read"),
            ),
            (
                &logs,
                vec!["read"],
                vec![],
                not_allowed("seccomp profile not allowed"),
            ),
            (
                &logs,
                vec![],
                vec![Allow],
                not_allowed("seccomp action not allowed: SCMP_ACT_LOG"),
            ),
            (&logs, vec![], vec![Allow, Log], None),
            // Denied system calls need not be in the list.
            (&kills, vec!["read"], vec![], None),
            // Lists of granting actions, the only ones that upstream took, leave denying ones free.
            (&kills, vec![], vec![Allow], None),
            (
                &kills,
                vec![],
                vec![Log],
                not_allowed("seccomp action not allowed: SCMP_ACT_ALLOW"),
            ),
            // A list with a denying action is literal.
            (
                &kills,
                vec![],
                vec![Allow, Errno],
                not_allowed("seccomp action not allowed: SCMP_ACT_KILL"),
            ),
            (&kills, vec![], vec![Allow, Errno, Kill], None),
            (
                &allows,
                vec!["read"],
                vec![Allow],
                not_allowed("syscall not allowed: write"),
            ),
        ] {
            assert_eq!(
                violation(spec, &syscalls, &actions),
                expected,
                "{syscalls:?} {actions:?}"
            );
        }
    }

    #[test]
    fn violations_name_field_and_fix() {
        let spec = spec(Errno, &[("read", Allow), ("accept", Notify)]);
        let only_allow = Restrictions {
            allowed_actions: [Allow].into(),
            ..Restrictions::unrestricted()
        };
        let text = check(&spec, &only_allow).unwrap_err().to_string();
        assert!(
            text.contains("spec.syscalls[1].action is SCMP_ACT_NOTIFY; add it to"),
            "{text}"
        );
        let only_read = Restrictions {
            allowed_syscalls: ["read".to_owned()].into(),
            ..Restrictions::unrestricted()
        };
        let text = check(&spec, &only_read).unwrap_err().to_string();
        assert!(
            text.contains("accept: spec.syscalls lists it with SCMP_ACT_NOTIFY"),
            "{text}"
        );
    }
}
