//! Whatever is found, a plan makes it good.

use proptest::{collection, prelude::*, sample};

use super::*;

/// The value of a key, made from one which was good.
#[derive(Debug, Clone)]
enum Value {
    /// As it was made, so many hours before now.
    Made(i64),
    /// The same of another Secret.
    Other(i64),
    /// With a byte changed in the text.
    Text(i64, sample::Index, u8),
    /// With a byte changed in what the text encodes.
    Der(i64, sample::Index, u8),
    Garbage(Vec<u8>),
    Absent,
}

fn value() -> impl Strategy<Value = Value> {
    // Mostly near the moments at which something happens.
    let hours = prop_oneof![
        4 => Just(0_i64),
        1 => -100..100_i64,
        1 => 1440..2200_i64,
        1 => 11_600..18_000_i64,
    ];
    let index = any::<sample::Index>();
    prop_oneof![
        6 => hours.clone().prop_map(Value::Made),
        1 => hours.clone().prop_map(Value::Other),
        1 => (hours.clone(), index, any::<u8>()).prop_map(|(h, i, b)| Value::Text(h, i, b)),
        2 => (hours, any::<sample::Index>(), any::<u8>()).prop_map(|(h, i, b)| Value::Der(h, i, b)),
        1 => collection::vec(any::<u8>(), 0..64).prop_map(Value::Garbage),
        1 => Just(Value::Absent),
    ]
}

/// The values of the authority's and the servers' keys, in order.
fn values() -> impl Strategy<Value = Vec<Option<[Value; 3]>>> {
    collection::vec(
        proptest::option::weighted(0.9, [value(), value(), value()]),
        3,
    )
}

/// One cluster for each hour, so that what is of the same hour fits together.
#[derive(Default)]
struct Past(BTreeMap<i64, Found>);

impl Past {
    fn secrets(&mut self, hours: i64) -> [SecretData; 3] {
        let then = start() - SignedDuration::from_hours(hours);
        let found = self.0.entry(hours).or_insert_with(|| made(then));
        [
            found.authority.clone().unwrap(),
            pair(found, WEBHOOK),
            pair(found, METRICS),
        ]
    }

    fn value(&mut self, value: &Value, secret: usize, key: &str) -> Option<Vec<u8>> {
        let mut of = |hours, secret: usize| self.secrets(hours)[secret].get(key).cloned();
        match value {
            Value::Made(hours) => of(*hours, secret),
            Value::Other(hours) => of(*hours, (secret + 1) % 3),
            Value::Text(hours, index, byte) => {
                let mut text = of(*hours, secret)?;
                let index = index.index(text.len());
                text[index] = *byte;
                Some(text)
            }
            Value::Der(hours, index, byte) => {
                let block = pem::parse(of(*hours, secret)?).unwrap();
                let mut der = block.contents().to_vec();
                let index = index.index(der.len());
                der[index] = *byte;
                Some(pem::encode(&pem::Pem::new(block.tag(), der)).into_bytes())
            }
            Value::Garbage(bytes) => Some(bytes.clone()),
            Value::Absent => None,
        }
    }

    fn found(&mut self, values: &[Option<[Value; 3]>]) -> Found {
        let mut secrets = values.iter().enumerate().map(|(secret, values)| {
            let keys = [CERTIFICATE, KEY, [BUNDLE, SERVING_BUNDLE][secret.min(1)]];
            values.as_ref().map(|values| {
                keys.iter()
                    .zip(values)
                    .filter_map(|(key, value)| {
                        Some(((*key).to_owned(), self.value(value, secret, key)?))
                    })
                    .collect::<SecretData>()
            })
        });
        Found {
            authority: secrets.next().unwrap(),
            serving: [WEBHOOK, METRICS]
                .into_iter()
                .map(|name| (name.to_owned(), secrets.next().unwrap()))
                .collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn planning_again_gives_nothing_and_everything_verifies(values in values()) {
        let mut found = Past::default().found(&values);
        let plan = plan_now(&found, start());
        apply(&mut found, &plan);
        assert_good(&found, start());
        // Until the next check, too.
        assert_good(&found, plan.next_check - 1.second());
    }

    #[test]
    fn a_server_which_was_trusted_stays_trusted(values in values(), later in 0..6000_i64) {
        let mut found = Past::default().found(&values);
        let plan = plan_now(&found, start());
        apply(&mut found, &plan);
        let old = found.clone();
        let now = start() + SignedDuration::from_hours(later);
        let plan = plan_now(&found, now);
        let shown = pair(&old, METRICS);
        let end = Certificate::read(&shown, CERTIFICATE).unwrap().span.end;
        if now.as_second() < end {
            prop_assert_eq!(verify(&plan.bundle, &shown, "metrics.spo.svc", now), Ok(()));
        }
    }

    #[test]
    fn any_time_and_policy_gives_an_error_or_what_is_good(
        second in prop_oneof![
            -10..4_000_000_000_i64,
            Timestamp::MIN.as_second()..Timestamp::MAX.as_second(),
        ],
        lives in [0..200_000_i64, 0..200_000_i64],
        backdates in [0..2_000_i64, 0..2_000_i64],
    ) {
        let seconds = SignedDuration::from_secs;
        let policy = Policy {
            authority_life: seconds(lives[0]),
            serving_life: seconds(lives[1]),
            authority_backdate: seconds(backdates[0]),
            serving_backdate: seconds(backdates[1]),
            ..Policy::default()
        };
        let now = Timestamp::from_second(second).unwrap();
        let mut found = Found::default();
        // Each renewal in turn.
        let mut now = now;
        for _ in 0..8 {
            let Ok(plan) = plan(&found, &wanted(), now, &policy) else {
                break;
            };
            apply(&mut found, &plan);
            let again = crate::plan(&found, &wanted(), now, &policy).unwrap();
            prop_assert!(again.is_empty(), "{:?}", again.reasons);
            prop_assert!(plan.next_check > now);
            prop_assert_eq!(plan.next_check, again.next_check);
            let name = "metrics.spo.svc";
            prop_assert_eq!(verify(&plan.bundle, &pair(&found, METRICS), name, now), Ok(()));
            now = plan.next_check;
        }
    }
}
