//! Label values of the audit counters (contract 02, 10.2).

use std::borrow::Cow;

use crate::place::Place;
use crate::record::{Detail, Record};

/// What becomes of the categories in an SELinux context (decision 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mcs {
    /// Kept, as upstream does: each pod has its own pair, and so its own series.
    Keep,
    /// Taken off: `system_u:system_r:container_t:s0:c1,c2` becomes `system_u:system_r:container_t:s0`.
    Strip,
}

/// One count, with the values of its labels in the order in which the families declare them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Count<'a> {
    /// `seccomp_profile_audit_total`: node, namespace, pod, container, syscall.
    Seccomp([Cow<'a, str>; 5]),
    /// `selinux_profile_audit_total`: node, namespace, pod, container, scontext, tcontext.
    Selinux([Cow<'a, str>; 6]),
    /// `apparmor_profile_audit_total`: node, namespace, pod, container, profile, operation,
    /// apparmor. If the last is `DENIED`, `apparmor_profile_denial_total` counts the profile and
    /// the operation too.
    AppArmor([Cow<'a, str>; 7]),
}

/// Which series a record counts in. `syscall` is the name of the system call of a seccomp record.
pub fn count<'a>(record: &Record<'a>, place: &Place<'a>, syscall: &'a str, mcs: Mcs) -> Count<'a> {
    let [node, namespace, pod, container] =
        [place.node, place.namespace, place.pod, place.container].map(Cow::Borrowed);
    match &record.detail {
        Detail::Seccomp(_) => {
            Count::Seccomp([node, namespace, pod, container, Cow::Borrowed(syscall)])
        }
        Detail::Selinux(avc) => {
            let [scontext, tcontext] =
                [avc.scontext, avc.tcontext].map(|context| strip(context.to_str(), mcs));
            Count::Selinux([node, namespace, pod, container, scontext, tcontext])
        }
        Detail::AppArmor(app_armor) => {
            let [profile, operation, verdict] =
                [app_armor.profile, app_armor.operation, app_armor.verdict]
                    .map(|text| text.to_str());
            Count::AppArmor([node, namespace, pod, container, profile, operation, verdict])
        }
    }
}

/// `user:role:type:LOW[:CATEGORIES][-HIGH[:CATEGORIES]]` without the categories.
fn strip(context: Cow<'_, str>, mcs: Mcs) -> Cow<'_, str> {
    let level = context.match_indices(':').nth(2).map(|(at, _)| at + 1);
    let Some((head, range)) = level.and_then(|at| context.split_at_checked(at)) else {
        return context;
    };
    if mcs == Mcs::Keep || !range.contains(':') {
        return context;
    }
    let mut stripped = head.to_owned();
    for (index, level) in range.split('-').enumerate() {
        if index > 0 {
            stripped.push('-');
        }
        stripped.push_str(level.split(':').next().unwrap_or_default());
    }
    Cow::Owned(stripped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_go_and_the_level_stays() {
        for (context, expected) in [
            (
                "system_u:system_r:container_t:s0:c1,c2",
                "system_u:system_r:container_t:s0",
            ),
            ("u:r:t:s0-s0:c0.c1023", "u:r:t:s0-s0"),
            ("u:r:t:s0:c1-s15:c0.c1023", "u:r:t:s0-s15"),
            ("u:r:t:s0", "u:r:t:s0"),
            ("u:r:t", "u:r:t"),
            ("", ""),
            ("a:b:c:", "a:b:c:"),
        ] {
            assert_eq!(strip(Cow::Borrowed(context), Mcs::Strip), expected);
            assert_eq!(strip(Cow::Borrowed(context), Mcs::Keep), context);
        }
    }
}
