//! Pure. Which containers a process may belong to, remembered, so that a line costs little.

use std::sync::Arc;
use std::time::Duration;

use spo_audit::proc;

use crate::lru::Lru;
use crate::world::{Answer, World};

/// As the contract says (02b, 5.6).
const CAPACITY: usize = 1000;
const IDLE: Duration = Duration::from_hours(1);
/// How long a process is taken for the one it was without a look. The kernel gives numbers out in
/// turn: one comes again after all others, tens of thousands at least.
const TRUSTED: Duration = Duration::from_millis(100);
/// And how long a process that has ended.
const GONE_TRUSTED: Duration = Duration::from_secs(2);
/// Nested containers that count. The outermost come first, and they are the ones to be believed.
const NESTED_MOST: usize = 8;

/// A container that a process may belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    pub(crate) id: Box<str>,
    pub(crate) pod_uid: Option<Box<str>>,
}

/// Outermost first; none, if it is a process of the host.
pub(crate) type Candidates = Arc<[Candidate]>;

#[derive(Debug)]
pub(crate) struct Whose(Lru<u32, Seen>);

#[derive(Debug)]
struct Seen {
    start: u64,
    checked: Duration,
    candidates: Candidates,
}

impl Whose {
    pub(crate) fn new() -> Self {
        Self(Lru::new(CAPACITY, IDLE))
    }

    /// The containers of a process; `None`, if it is gone and nobody knows any more.
    pub(crate) fn find(
        &mut self,
        pid: u32,
        now: Duration,
        world: &mut impl World,
    ) -> Option<Candidates> {
        let known = self.0.get(&pid, now);
        let since = |seen: &Seen| now.saturating_sub(seen.checked);
        if let Some(seen) = &known
            && since(seen) < TRUSTED
        {
            return Some(Arc::clone(&seen.candidates));
        }
        match (
            world.process(pid, known.as_ref().map(|seen| seen.start)),
            known,
        ) {
            (Answer::Same, Some(seen)) => {
                seen.checked = now;
                Some(Arc::clone(&seen.candidates))
            }
            (Answer::Gone | Answer::Same, known) => known
                .filter(|seen| since(seen) < GONE_TRUSTED)
                .map(|seen| Arc::clone(&seen.candidates)),
            (Answer::Process { start, cgroup }, _) => {
                let candidates = candidates(&cgroup);
                // A process of the host may be on its way into a container.
                if candidates.is_empty() {
                    self.0.remove(&pid);
                } else {
                    let seen = Seen {
                        start,
                        checked: now,
                        candidates: Arc::clone(&candidates),
                    };
                    self.0.insert(pid, seen, now);
                }
                Some(candidates)
            }
        }
    }
}

fn candidates(cgroup: &[u8]) -> Candidates {
    proc::containers(cgroup)
        .into_iter()
        .take(NESTED_MOST)
        .map(|candidate| Candidate {
            id: candidate.container_id.into(),
            pod_uid: candidate.pod_uid.map(String::into_boxed_str),
        })
        .collect()
}
