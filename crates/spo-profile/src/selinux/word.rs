//! Pure. What may stand in a policy as a name: the only way of foreign text into CIL.

/// Longest name of CIL plus one. Source: libsepol, cil_internal.h, `CIL_MAX_NAME_LENGTH`.
const NAME_LIMIT: usize = 2048;

/// Words which an expression over permissions takes for operators. `all` is not among them, because
/// it stands for permissions: see [`super::limits`].
/// Source: libsepol, cil_build_ast.c, `__cil_fill_expr_helper`.
const OPERATORS: [&str; 4] = ["and", "not", "or", "xor"];

/// Words which newer compilers take for a set of types that does not hold the process itself: for
/// nearly all of them. Source: libsepol, cil_build_ast.c, `cil_gen_avrule`.
const TYPE_SETS: [&str; 2] = ["notself", "other"];

/// Whether a text can be declared: what compilers agree on as a name without a dot.
pub(super) fn is_identifier(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    text.len() < NAME_LIMIT
        && text.starts_with(|char: char| char.is_ascii_alphabetic())
        && text.bytes().all(rest)
}

/// Whether a text can refer to something declared: in a block, `a.b`, or outside all blocks, `.b`.
fn is_reference(text: &str) -> bool {
    text.len() < NAME_LIMIT && global(text).split('.').all(is_identifier)
}

/// Whether a text can be the target of a rule. `self` can: the process itself, as `@self`.
pub(super) fn is_type(text: &str) -> bool {
    is_reference(text) && !TYPE_SETS.contains(&text)
}

/// Whether a text can be the class of a rule.
pub(super) fn is_class(text: &str) -> bool {
    is_reference(text)
}

/// Whether a text can be a permission, or all of them.
pub(super) fn is_permission(text: &str) -> bool {
    is_identifier(text) && !OPERATORS.contains(&text)
}

/// A name as it is called outside all blocks: `.shadow_t` is `shadow_t`.
pub(super) fn global(text: &str) -> &str {
    text.strip_prefix('.').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_cil_are_identifiers() {
        for good in ["a", "http_port_t", "nginx-secure", "A1", "self", "a-"] {
            assert!(is_identifier(good), "{good}");
            assert!(is_type(good) && is_class(good) && is_permission(good));
        }
        for bad in [
            "", "1a", "-a", "_a", "a b", "a(", "a)", "a;", "\"a\"", "a\n", "é", "a\0", "@self",
        ] {
            assert!(!is_identifier(bad), "{bad:?}");
            assert!(!is_type(bad) && !is_class(bad) && !is_permission(bad));
        }
        assert!(is_identifier(&"a".repeat(2047)));
        assert!(!is_identifier(&"a".repeat(2048)));
        assert!(!is_type(&"a.".repeat(1100)));
    }

    #[test]
    fn dots_lead_into_blocks() {
        for good in ["container.process", ".shadow_t", "a.b.c"] {
            assert!(is_type(good) && is_class(good), "{good}");
            assert!(!is_permission(good));
        }
        for bad in [".", "..", "..shadow_t", "shadow_t.", "a..b", ".1a"] {
            assert!(!is_type(bad) && !is_class(bad), "{bad}");
        }
    }

    #[test]
    fn words_with_a_meaning_are_no_names() {
        for operator in OPERATORS {
            assert!(!is_permission(operator));
        }
        for set in TYPE_SETS {
            assert!(!is_type(set));
        }
    }
}
