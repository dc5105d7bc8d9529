//! Pure. The authorities which are to be trusted: the one that signs, and those of before until
//! they expire.

use crate::{
    BUNDLE, CERTIFICATE, SecretData,
    authority::{self, Authority},
    certificate::Certificate,
};

/// More than this are there only if the clock went wild. The bundle stands in every object that
/// trusts it, so that it must stay small.
const MAX: usize = 8;

/// The authority which signs, then the others, newest first.
///
/// Those not valid yet stay in: they may be the right ones, and the clock wrong.
pub(crate) fn collect(
    authority: &Authority,
    found: Option<&SecretData>,
    at: i64,
) -> Vec<Certificate> {
    let current = &authority.certificate;
    let mut others: Vec<Certificate> = found
        .into_iter()
        .flat_map(|data| {
            let signer = Certificate::read(data, CERTIFICATE).into_iter();
            signer.chain(Certificate::read_all(data, BUNDLE))
        })
        .filter(|other| other.der() != current.der())
        .filter(|other| other.span.end > at && authority::is_ours(other))
        .collect();
    others.sort_by(|a, b| {
        let newest = b.span.begin.cmp(&a.span.begin);
        newest.then_with(|| a.der().cmp(b.der()))
    });
    others.dedup_by(|a, b| a.der() == b.der());
    let mut all = vec![current.clone()];
    all.append(&mut others);
    all.truncate(MAX);
    all
}

/// When the first of them expires, in seconds since 1970.
pub(crate) fn shrinks_at(trusted: &[Certificate]) -> i64 {
    let ends = trusted.iter().map(|certificate| certificate.span.end);
    ends.min().unwrap_or(i64::MAX)
}
