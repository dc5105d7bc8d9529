//! Pure. How long certificates live.

use jiff::SignedDuration;

use crate::Error;

/// How long certificates live. They are renewed when a third of that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long an authority is valid from now on.
    pub authority_life: SignedDuration,
    /// How long before now it begins: further than clocks in a cluster differ, and so far that a
    /// clock which is corrected seldom costs an authority.
    pub authority_backdate: SignedDuration,
    /// How long a server's certificate is valid from now on; it ends with its authority at the
    /// latest.
    pub serving_life: SignedDuration,
    /// How long before now it begins.
    pub serving_backdate: SignedDuration,
    /// How long a plan is good for at most: a sleep does not notice when the clock is set.
    pub check_every: SignedDuration,
}

const HOURS_A_DAY: i64 = 24;

impl Default for Policy {
    fn default() -> Self {
        Self {
            authority_life: SignedDuration::from_hours(2 * 365 * HOURS_A_DAY),
            authority_backdate: SignedDuration::from_hours(HOURS_A_DAY),
            serving_life: SignedDuration::from_hours(90 * HOURS_A_DAY),
            serving_backdate: SignedDuration::from_mins(5),
            check_every: SignedDuration::from_hours(HOURS_A_DAY),
        }
    }
}

/// Certificates count in seconds; with less than this, rounding could make one due at once.
const LIFE_MIN: SignedDuration = SignedDuration::from_mins(1);
/// What is longer could leave the years for which certificates can be made.
const LIFE_MAX: SignedDuration = SignedDuration::from_hours(100 * 365 * HOURS_A_DAY);

impl Policy {
    /// Whether what is made now is good now, and stays so for a while: otherwise every plan would
    /// ask for the next.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Self {
            authority_life,
            authority_backdate,
            serving_life,
            serving_backdate,
            check_every,
        } = *self;
        let between = |field, found, min, max, rule| {
            if (min..=max).contains(&found) {
                Ok(())
            } else {
                Err(Error::Policy { field, found, rule })
            }
        };
        let life = "between a minute and 100 years";
        between("authority_life", authority_life, LIFE_MIN, LIFE_MAX, life)?;
        between("serving_life", serving_life, LIFE_MIN, LIFE_MAX, life)?;
        between(
            "check_every",
            check_every,
            SignedDuration::from_secs(1),
            LIFE_MAX,
            "between a second and 100 years",
        )?;
        between(
            "authority_backdate",
            authority_backdate,
            SignedDuration::ZERO,
            authority_life / 2,
            "at most half of authority_life",
        )?;
        // An authority may have but a third of its life left when it signs.
        between(
            "serving_backdate",
            serving_backdate,
            SignedDuration::ZERO,
            serving_life.min(authority_life / 3) / 2,
            "at most half of serving_life, and a sixth of authority_life",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Policy), expected: Option<&str>) {
        let mut policy = Policy::default();
        change(&mut policy);
        let field = policy.check().err().map(|error| match error {
            Error::Policy { field, .. } => field,
            other => panic!("{other}"),
        });
        assert_eq!(field, expected, "{policy:?}");
    }

    #[test]
    fn a_policy_under_which_nothing_would_ever_be_good_is_refused() {
        let seconds = SignedDuration::from_secs;
        check(|_| {}, None);
        check(
            |policy| policy.serving_life = seconds(599),
            Some("serving_backdate"),
        );
        check(|policy| policy.serving_life = seconds(600), None);
        check(
            |policy| policy.serving_life = seconds(59),
            Some("serving_life"),
        );
        check(
            |policy| policy.serving_life = SignedDuration::MAX,
            Some("serving_life"),
        );
        check(
            |policy| policy.authority_life = seconds(-1),
            Some("authority_life"),
        );
        check(
            |policy| policy.authority_life = seconds(86_400),
            Some("authority_backdate"),
        );
        check(
            |policy| policy.authority_backdate = seconds(-1),
            Some("authority_backdate"),
        );
        check(
            |policy| policy.check_every = SignedDuration::ZERO,
            Some("check_every"),
        );
    }
}
