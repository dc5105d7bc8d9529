//! Pure. Which pod a container belongs to: an index that the watch of the node's pods feeds.
//!
//! Containers that have ended stay for a while, because records come after the fact.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::watcher::Event;

use crate::lru::Lru;
use crate::pod::{Home, Pod};

/// Containers that have ended, and how long they are remembered.
const GONE_MOST: usize = 1000;
const GONE_FOR: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub(crate) struct Index {
    live: HashMap<Box<str>, Arc<Home>>,
    /// Containers of a pod, by its UID.
    pods: BTreeMap<String, Vec<Box<str>>>,
    gone: Lru<Box<str>, Arc<Home>>,
    /// Pods that a listing has brought so far.
    listed: Option<BTreeSet<String>>,
    complete: bool,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            live: HashMap::new(),
            pods: BTreeMap::new(),
            gone: Lru::new(GONE_MOST, GONE_FOR),
            listed: None,
            complete: false,
        }
    }

    /// Takes in an event; gives the IDs of containers that were not known.
    pub(crate) fn take(&mut self, event: Event<Pod>, now: Duration) -> Vec<Box<str>> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(pod) => {
                let uid = pod.uid().unwrap_or_default();
                self.listed.get_or_insert_default().insert(uid);
                self.apply(&pod, now)
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let absent = self.pods.keys().filter(|uid| !listed.contains(*uid));
                for uid in absent.cloned().collect::<Vec<_>>() {
                    self.delete(&uid, now);
                }
                self.complete = true;
                Vec::new()
            }
            Event::Apply(pod) => self.apply(&pod, now),
            Event::Delete(pod) => {
                self.delete(&pod.uid().unwrap_or_default(), now);
                Vec::new()
            }
        }
    }

    /// Whose container an ID is.
    pub(crate) fn find(&mut self, id: &str, now: Duration) -> Option<Arc<Home>> {
        if let Some(home) = self.live.get(id) {
            return Some(Arc::clone(home));
        }
        self.gone.get(id, now).map(|home| Arc::clone(home))
    }

    /// Whether all pods of the node have been seen once.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    fn apply(&mut self, pod: &Pod, now: Duration) -> Vec<Box<str>> {
        let homes = pod.homes();
        let ids: Vec<Box<str>> = homes.iter().map(|(id, _)| id.clone()).collect();
        let before = self.pods.insert(pod.uid().unwrap_or_default(), ids.clone());
        for id in before.into_iter().flatten().filter(|id| !ids.contains(id)) {
            self.retire(id, now);
        }
        let mut news = Vec::new();
        for (id, home) in homes {
            if self.live.insert(id.clone(), home).is_none() {
                news.push(id);
            }
        }
        news
    }

    fn delete(&mut self, uid: &str, now: Duration) {
        for id in self.pods.remove(uid).into_iter().flatten() {
            self.retire(id, now);
        }
    }

    fn retire(&mut self, id: Box<str>, now: Duration) {
        if let Some(home) = self.live.remove(&id) {
            self.gone.insert(id, home, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::tests::pod;

    const NOW: Duration = Duration::ZERO;
    const LATER: Duration = Duration::from_hours(2);

    fn names(index: &mut Index, ids: &[&str], now: Duration) -> Vec<Option<String>> {
        let find = |id: &&str| index.find(&id.repeat(64), now).map(|home| home.pod.clone());
        ids.iter().map(find).collect()
    }

    fn some(names: &[&str]) -> Vec<Option<String>> {
        names.iter().map(|name| Some((*name).to_owned())).collect()
    }

    #[test]
    fn containers_that_have_ended_stay_for_a_while() {
        let mut index = Index::new();
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(
            index.take(Event::Apply(pod("p", "1", &a)), NOW),
            [a.clone().into()]
        );
        assert!(index.take(Event::Apply(pod("p", "1", &a)), NOW).is_empty());
        // It was restarted.
        assert_eq!(index.take(Event::Apply(pod("p", "1", &b)), NOW), [b.into()]);
        assert_eq!(names(&mut index, &["a", "b"], NOW), some(&["p", "p"]));
        index.take(Event::Delete(pod("p", "1", &a)), NOW);
        assert_eq!(names(&mut index, &["a", "b"], NOW), some(&["p", "p"]));
        assert_eq!(names(&mut index, &["a", "b"], LATER), [None, None]);
        assert!(index.live.is_empty() && index.pods.is_empty());
    }

    #[test]
    fn a_listing_says_which_pods_are_gone() {
        let mut index = Index::new();
        index.take(Event::Apply(pod("p", "1", &"a".repeat(64))), NOW);
        index.take(Event::Init, NOW);
        index.take(Event::InitApply(pod("q", "2", &"b".repeat(64))), NOW);
        assert!(!index.is_complete());
        index.take(Event::InitDone, NOW);
        assert!(index.is_complete());
        assert_eq!(index.live.len(), 1);
        assert_eq!(names(&mut index, &["a", "b"], NOW), some(&["p", "q"]));
    }
}
