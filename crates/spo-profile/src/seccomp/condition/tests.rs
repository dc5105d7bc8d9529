//! Conditions against each other, at values around their operands.

use super::*;

const SAMPLES: [u64; 12] = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    20,
    OPERAND_MAX,
    OPERAND_MAX + 1,
    u64::MAX,
];

fn conditions() -> Vec<Condition> {
    let operands = [0, 1, 2, 5, OPERAND_MAX];
    let mut all = vec![];
    for operand in operands {
        all.extend([
            Condition::NotEqual(operand),
            Condition::Less(operand),
            Condition::LessEqual(operand),
            Condition::Equal(operand),
            Condition::GreaterEqual(operand),
            Condition::Greater(operand),
        ]);
        all.extend(operands.map(|mask| Condition::Masked {
            mask,
            value: operand & mask,
        }));
    }
    all
}

#[test]
fn a_negated_condition_holds_exactly_elsewhere() {
    for condition in conditions() {
        let Some(negated) = condition.negated() else {
            continue;
        };
        for value in SAMPLES {
            let negated = negated.iter().any(|part| part.holds(value));
            assert_eq!(negated, !condition.holds(value), "{condition:?} {value}");
        }
    }
}

#[test]
fn an_intersection_holds_where_both_do() {
    for left in conditions() {
        for right in conditions() {
            let Some(parts) = left.intersect(right) else {
                continue;
            };
            for value in SAMPLES {
                let both = left.holds(value) && right.holds(value);
                let any = parts.iter().any(|part| part.holds(value));
                assert_eq!(any, both, "{left:?} {right:?} {value}");
            }
            assert!(
                parts
                    .iter()
                    .all(|part| Condition::of(&part.to_arg(0)) == *part)
            );
            assert!(
                parts
                    .iter()
                    .all(|part| part.to_arg(0).value.unwrap_or(0) >= 0)
            );
        }
    }
}

#[test]
fn what_the_api_can_not_say_is_not_said() {
    use Condition::*;
    for (left, right) in [
        (GreaterEqual(1), Less(100)),
        (Masked { mask: 1, value: 1 }, NotEqual(1)),
        (Masked { mask: 1, value: 1 }, Less(7)),
        (Greater(OPERAND_MAX), NotEqual(OPERAND_MAX + 1)),
    ] {
        assert_eq!(left.intersect(right), None, "{left:?} {right:?}");
    }
    assert_eq!(
        Masked {
            mask: OPERAND_MAX,
            value: 1
        }
        .negated(),
        None
    );
    let few = GreaterEqual(3).intersect(LessEqual(4));
    assert_eq!(few, Some(vec![Equal(3), Equal(4)]));
}

#[test]
fn conditions_are_fields_and_back() {
    for condition in conditions() {
        assert_eq!(Condition::of(&condition.to_arg(3)), condition);
    }
    let arg = Arg {
        index: 1,
        value: Some(6),
        value_two: Some(13),
        op: Operator::MaskedEqual,
    };
    assert_eq!(Condition::of(&arg), Condition::Masked { mask: 6, value: 4 });
    assert!(Condition::of(&Arg { value: None, ..arg }).is_void());
}
