//! Follows `spec.baseProfileName` and unites the system calls on the way.
//!
//! A machine that asks and is answered: the core may not fetch. Only system calls are inherited;
//! everything else is the profile's own (contract 02a, 2.4).
//!
//! ```
//! # use spo_profile::seccomp::resolve::{BaseRef, Progress, Resolver};
//! # use spo_api::seccomp_profile::SeccompProfileSpec;
//! # let (profile, look_up) = (SeccompProfileSpec::default(), |_: &BaseRef| None);
//! let mut resolver = Resolver::new("web", profile);
//! let result = loop {
//!     match resolver.step() {
//!         Progress::Need(need) => {
//!             let base = look_up(need.base());
//!             resolver = need.answer(base);
//!         }
//!         Progress::Done(resolved) => break Ok(resolved),
//!         Progress::Failed(error) => break Err(error),
//!     }
//! };
//! # assert!(result.is_ok());
//! ```

use spo_api::seccomp_profile::SeccompProfileSpec;

use super::merge::unite_under;

/// What a base profile in a registry starts with.
const ARTIFACT_PREFIX: &str = "oci://";

/// As many profiles may be on a chain, the first one included. Source: contract 02a, 2.4.
const LEVELS_MAX: usize = 15;

/// A base profile, as `spec.baseProfileName` names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum BaseRef {
    /// The SeccompProfile of that name in the cluster.
    Local(String),
    /// The artifact of that reference: the text after `oci://`, as written.
    Artifact(String),
}

impl BaseRef {
    fn of(text: &str) -> Self {
        match text.strip_prefix(ARTIFACT_PREFIX) {
            Some(reference) => BaseRef::Artifact(reference.to_owned()),
            None => BaseRef::Local(text.to_owned()),
        }
    }
}

impl std::fmt::Display for BaseRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BaseRef::Local(name) => f.write_str(name),
            BaseRef::Artifact(reference) => write!(f, "{ARTIFACT_PREFIX}{reference}"),
        }
    }
}

/// Resolves the base profiles of one profile.
#[derive(Debug, Clone)]
#[must_use = "a resolver does nothing until it steps"]
pub struct Resolver {
    /// The profile itself; its system calls are the union of what is known up to here.
    spec: SeccompProfileSpec,
    /// The profile and its bases, in the order in which they refer to each other.
    chain: Vec<BaseRef>,
    /// What the last one on the chain refers to.
    next: Option<BaseRef>,
    /// Whether the last answer was that there is no such profile.
    missing: bool,
}

/// Where a resolver has got to.
#[derive(Debug, Clone)]
#[must_use = "the question wants an answer"]
pub enum Progress {
    /// It asks for a base profile.
    Need(Need),
    /// There is no base profile left.
    Done(Resolved),
    /// It can not go on.
    Failed(ResolveError),
}

/// A question for a base profile.
#[derive(Debug, Clone)]
#[must_use = "the question wants an answer"]
pub struct Need {
    base: BaseRef,
    resolver: Resolver,
}

impl Need {
    /// Which base profile is asked for.
    pub fn base(&self) -> &BaseRef {
        &self.base
    }

    /// Takes the base profile, or `None` if it does not exist. Who can not find out drops the
    /// question and starts over later.
    pub fn answer(self, base: Option<SeccompProfileSpec>) -> Resolver {
        let Need {
            base: base_ref,
            mut resolver,
        } = self;
        match base {
            Some(base) => {
                let spec = &mut resolver.spec;
                spec.syscalls = unite_under(spec.default_action, &base.syscalls, &spec.syscalls);
                resolver.next = base_of(&base);
                resolver.chain.push(base_ref);
            }
            None => resolver.missing = true,
        }
        resolver
    }
}

/// A profile which stands on its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The profile. With a base its system calls are united, one name per entry; without, they are
    /// exactly as written.
    pub spec: SeccompProfileSpec,
    /// The names of the SeccompProfiles on the chain, the nearest first: a change of one of them
    /// changes this profile.
    pub bases: Vec<String>,
    /// Whether there is a base profile, of the cluster or from a registry.
    pub has_base: bool,
}

/// Why a profile has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The chain is too long.
    #[error("max recursion level of {LEVELS_MAX} is reached for resolving base profiles: {chain}")]
    TooDeep {
        /// The chain as text.
        chain: String,
    },
    /// A profile is its own base, directly or not.
    #[error("spec.baseProfileName: {chain} is a cycle")]
    Cycle {
        /// The chain as text, up to the profile which occurs twice.
        chain: String,
    },
    /// The base of the profile itself does not exist.
    #[error(
        "spec.baseProfileName: {} does not exist; create it or remove the field",
        describe(base)
    )]
    Missing {
        /// What does not exist.
        base: BaseRef,
    },
    /// The base of one of its bases does not exist.
    #[error(
        "spec.baseProfileName: {}, which {} has as base profile, does not exist; create it or \
         remove the field there",
        describe(base),
        describe(of)
    )]
    MissingFurther {
        /// What does not exist.
        base: BaseRef,
        /// What refers to it.
        of: BaseRef,
    },
}

fn describe(base: &BaseRef) -> String {
    match base {
        BaseRef::Local(name) => format!("SeccompProfile {name:?}"),
        BaseRef::Artifact(_) => format!("artifact {:?}", base.to_string()),
    }
}

impl Resolver {
    /// Starts at the profile `profile_name`.
    pub fn new(profile_name: &str, spec: SeccompProfileSpec) -> Self {
        let chain = vec![BaseRef::Local(profile_name.to_owned())];
        Self {
            next: base_of(&spec),
            spec,
            chain,
            missing: false,
        }
    }

    /// Goes on to the next question or to the end.
    pub fn step(self) -> Progress {
        let Some(base) = self.next.clone() else {
            return Progress::Done(self.resolved());
        };
        if self.missing {
            return Progress::Failed(self.missing(base));
        }
        if self.chain.contains(&base) {
            let chain = format!("{} -> {base}", self.chain_text());
            return Progress::Failed(ResolveError::Cycle { chain });
        }
        if self.chain.len() >= LEVELS_MAX {
            return Progress::Failed(ResolveError::TooDeep {
                chain: self.chain_text(),
            });
        }
        Progress::Need(Need {
            base,
            resolver: self,
        })
    }

    fn resolved(self) -> Resolved {
        let Self {
            spec,
            chain,
            next: _,
            missing: _,
        } = self;
        let has_base = chain.len() > 1;
        let bases = chain.into_iter().skip(1).filter_map(|base| match base {
            BaseRef::Local(name) => Some(name),
            BaseRef::Artifact(_) => None,
        });
        Resolved {
            spec,
            bases: bases.collect(),
            has_base,
        }
    }

    fn missing(self, base: BaseRef) -> ResolveError {
        match self.chain.last() {
            Some(of) if self.chain.len() > 1 => ResolveError::MissingFurther {
                base,
                of: of.clone(),
            },
            _ => ResolveError::Missing { base },
        }
    }

    fn chain_text(&self) -> String {
        let names: Vec<String> = self.chain.iter().map(BaseRef::to_string).collect();
        names.join(" -> ")
    }
}

fn base_of(spec: &SeccompProfileSpec) -> Option<BaseRef> {
    let name = spec
        .base_profile_name
        .as_deref()
        .filter(|name| !name.is_empty());
    name.map(BaseRef::of)
}

#[cfg(test)]
mod tests;
