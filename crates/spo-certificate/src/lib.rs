//! Our own authority and serving certificates, so that a cluster needs no cert-manager for them.
//!
//! [`plan`] looks at the Secrets as they were found and says what has to be written. It reads no
//! clock and no Secret; making keys takes random numbers, which is why this crate is not core.
//!
//! The caller executes a [`Plan`] in this order, and stops at the first step which fails:
//!
//! 1. the Secret of the authority ([`Plan::authority`]), so that the key which signs is not lost;
//! 2. the bundle ([`Plan::bundle`]) to everybody who verifies: webhook configurations, conversion
//!    webhooks, service monitors;
//! 3. the Secrets of the servers ([`Plan::serving`]).
//!
//! Because the bundle goes out first, certificates are signed by a new authority at once, and
//! because the bundle keeps the authorities of before until they expire, servers which have not
//! picked up their new certificate are still trusted. The bundle is part of every plan, also of
//! one which writes nothing: a consumer may have lost it.
//!
//! What was found is foreign. Whatever can not be read, does not fit together or was not made here
//! is replaced, with the reason in [`Plan::reasons`]. An authority somebody put there by hand is
//! replaced too: we could not renew it.
//!
//! A clock which jumps does no harm: certificates begin before now, so that they are made anew
//! only when the clock goes back further than that, and what is made then is good for both times.
//!
//! Start reading at [`plan`], then `authority.rs` and `serving.rs`.

// Foreign bytes come in here; a position that is not there must be a value, not a panic.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

mod authority;
mod bundle;
mod certificate;
mod policy;
mod serving;
mod span;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{authority::Authority, certificate::Certificate, span::Span};
pub use crate::{policy::Policy, serving::Serving};

/// The `data` of a Secret, decoded. It may hold a private key: it is not to be printed.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// Key of a Secret: the certificate, in PEM.
pub const CERTIFICATE: &str = "tls.crt";
/// Key of a Secret: its private key, in PEM (PKCS #8).
pub const KEY: &str = "tls.key";
/// Key of the authority's Secret: every authority to be trusted, in PEM, newest first.
pub const BUNDLE: &str = "bundle.crt";
/// Key of a server's Secret: the same bundle, where programs expect it.
pub const SERVING_BUNDLE: &str = "ca.crt";

/// The Secrets as they are in the cluster.
#[derive(Clone, Default)]
pub struct Found {
    /// The Secret of the authority; `None`: it does not exist.
    pub authority: Option<SecretData>,
    /// The Secrets of the servers by name; one that is missing here does not exist.
    pub serving: BTreeMap<String, Option<SecretData>>,
}

/// What there should be.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// One entry a server.
    pub serving: Vec<Serving>,
}

/// What has to be written, in the order which the crate's documentation gives.
#[derive(Clone)]
pub struct Plan {
    /// The authority's Secret, if it has to change.
    pub authority: Option<SecretData>,
    /// Every authority to be trusted from now on, in PEM, newest first. Never empty.
    pub bundle: String,
    /// The Secrets of servers which have to change, by name.
    pub serving: BTreeMap<String, SecretData>,
    /// Why something is written, one line each; empty if nothing is.
    pub reasons: Vec<String>,
    /// When to plan again at the latest: the next renewal or expiry, or [`Policy::check_every`].
    pub next_check: Timestamp,
}

impl Plan {
    /// Whether no Secret has to be written.
    pub fn is_empty(&self) -> bool {
        self.authority.is_none() && self.serving.is_empty()
    }
}

/// Why there is no plan. Nothing which was found in the cluster leads to one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy can not be followed.
    #[error("policy: {field} is {found}, which must be {rule}")]
    Policy {
        /// The field of [`Policy`].
        field: &'static str,
        /// Its value.
        found: jiff::SignedDuration,
        /// What it has to be.
        rule: &'static str,
    },
    /// A server has no name to be certified.
    #[error("secret {secret}: it has no DNS names, give at least one")]
    NoNames {
        /// Of the server.
        secret: String,
    },
    /// A server's name is none.
    #[error("secret {secret}: {name:?} is not a DNS name of lower-case letters, digits and dashes")]
    InvalidName {
        /// Of the server.
        secret: String,
        /// The name as given.
        name: String,
    },
    /// Two servers would write the same Secret.
    #[error("secret {0} is wanted twice, give each server its own")]
    Duplicate(String),
    /// The clock shows a time for which no certificate can be made.
    #[error("the clock shows {0}, set it: certificates are made between 1970 and 9000")]
    Clock(Timestamp),
    /// No key or certificate could be made.
    #[error("cannot make the certificate of {name}")]
    Make {
        /// Whose.
        name: String,
        /// From the generator.
        source: rcgen::Error,
    },
}

/// Says what has to be written so that `wanted` is there and good at `now`.
///
/// Planning again after the plan was executed gives an empty plan, until `next_check`.
pub fn plan(
    found: &Found,
    wanted: &Wanted,
    now: Timestamp,
    policy: &Policy,
) -> Result<Plan, Error> {
    policy.check()?;
    let at = span::seconds(now)?;
    let wanted = checked(wanted)?;
    let mut reasons = Vec::new();

    let authority = match Authority::read(found.authority.as_ref(), at) {
        Ok(authority) => authority,
        Err(why) => {
            reasons.push(format!("authority: {why}"));
            Authority::make(Span::new(
                at,
                policy.authority_backdate,
                policy.authority_life,
            ))?
        }
    };
    let trusted = bundle::collect(&authority, found.authority.as_ref(), at);
    let bundle: String = trusted.iter().map(Certificate::pem).collect();
    let data = authority.data(&bundle);
    let authority_stays = holds(found.authority.as_ref(), &data);
    if !authority_stays && reasons.is_empty() {
        reasons.push(format!(
            "authority: {}",
            rewritten(found.authority.as_ref(), BUNDLE, &data)
        ));
    }

    let mut next = authority.renew_at().min(bundle::shrinks_at(&trusted));
    let mut writes = BTreeMap::new();
    for server in wanted {
        let found = found.serving.get(&server.secret).and_then(Option::as_ref);
        let (pair, why) = match serving::Pair::read(found, &server, &authority, at) {
            Ok(pair) => (pair, None),
            Err(why) => {
                let span = Span::new(at, policy.serving_backdate, policy.serving_life);
                (serving::Pair::make(&server, &authority, span)?, Some(why))
            }
        };
        next = next.min(pair.renew_at());
        let data = pair.data(&bundle);
        if !holds(found, &data) {
            let why = why.unwrap_or_else(|| rewritten(found, SERVING_BUNDLE, &data));
            reasons.push(format!("secret {}: {why}", server.secret));
            writes.insert(server.secret, data);
        }
    }

    Ok(Plan {
        authority: (!authority_stays).then_some(data),
        bundle,
        serving: writes,
        reasons,
        next_check: span::earlier(now, policy.check_every, next),
    })
}

/// The servers, with their names as they stand in a certificate.
fn checked(wanted: &Wanted) -> Result<Vec<Serving>, Error> {
    let mut secrets = BTreeSet::new();
    wanted
        .serving
        .iter()
        .map(|server| {
            if secrets.insert(&server.secret) {
                server.checked()
            } else {
                Err(Error::Duplicate(server.secret.clone()))
            }
        })
        .collect()
}

/// Whether a Secret has all of this; what else it has is not ours.
fn holds(found: Option<&SecretData>, data: &SecretData) -> bool {
    found.is_some_and(|found| {
        data.iter()
            .all(|(key, value)| found.get(key) == Some(value))
    })
}

/// Why a Secret is written although its certificate is good.
fn rewritten(found: Option<&SecretData>, bundle: &str, data: &SecretData) -> &'static str {
    let has = found.and_then(|found| found.get(bundle));
    if has == data.get(bundle) {
        "its text was changed"
    } else {
        "the bundle changed"
    }
}

#[cfg(test)]
mod tests;
