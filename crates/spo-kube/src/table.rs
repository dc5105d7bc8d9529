//! Pure. What a watch has shown so far, kept small, and right after the watch was interrupted.
//!
//! A watch that restarts lists everything again; what was deleted meanwhile is simply not listed.
//! A table notices that: each listing is an epoch, and what the last one did not touch goes.

use std::collections::BTreeMap;

use kube::runtime::watcher::Event;

/// Values by key, as the API server last showed them.
#[derive(Debug)]
pub struct Table<K, V> {
    rows: BTreeMap<K, (u64, V)>,
    epoch: u64,
    synced: bool,
}

/// What an event did to a table.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<K, V> {
    /// The row is new, or replaced the value given.
    Set(K, Option<V>),
    /// The row is gone.
    Gone(K, V),
    /// The first listing is complete: from now on absence means absence.
    Synced,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            epoch: 0,
            synced: false,
        }
    }
}

impl<K: Ord + Clone, V> Table<K, V> {
    /// Takes an event in. `row` turns an object into its key and what to keep of it; `None` keeps
    /// nothing.
    pub fn observe<O>(
        &mut self,
        event: Event<O>,
        row: impl Fn(O) -> (K, Option<V>),
    ) -> Vec<Change<K, V>> {
        match event {
            Event::Init => {
                self.epoch += 1;
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => match row(object) {
                (key, Some(value)) => vec![self.set(key, value)],
                (key, None) => self.remove(key).into_iter().collect(),
            },
            Event::Delete(object) => self.remove(row(object).0).into_iter().collect(),
            Event::InitDone => self.finish(),
        }
    }

    /// Puts in what a write has returned, so that the next plan does not wait for the watch.
    pub fn set(&mut self, key: K, value: V) -> Change<K, V> {
        let old = self.rows.insert(key.clone(), (self.epoch, value));
        Change::Set(key, old.map(|(_, value)| value))
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: K) -> Option<Change<K, V>> {
        let (_, value) = self.rows.remove(&key)?;
        Some(Change::Gone(key, value))
    }

    fn finish(&mut self) -> Vec<Change<K, V>> {
        let epoch = self.epoch;
        let stale: Vec<K> = self
            .rows
            .iter()
            .filter(|(_, (seen, _))| *seen != epoch)
            .map(|(key, _)| key.clone())
            .collect();
        let mut changes: Vec<_> = stale
            .into_iter()
            .filter_map(|key| self.remove(key))
            .collect();
        if !self.synced {
            self.synced = true;
            changes.push(Change::Synced);
        }
        changes
    }

    /// Whether a first listing is complete.
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// The value of a row.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.rows.get(key).map(|(_, value)| value)
    }

    /// All rows, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().map(|(key, (_, value))| (key, value))
    }

    /// The rows from `start` on, by key.
    pub fn range_from(&self, start: K) -> impl Iterator<Item = (&K, &V)> {
        self.rows
            .range(start..)
            .map(|(key, (_, value))| (key, value))
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(
        table: &mut Table<&'static str, u8>,
        event: Event<(&'static str, u8)>,
    ) -> Vec<Change<&'static str, u8>> {
        table.observe(event, |(key, value)| (key, (value > 0).then_some(value)))
    }

    #[test]
    fn what_vanished_while_the_watch_was_down_is_gone() {
        let mut table = Table::default();
        observe(&mut table, Event::Init);
        observe(&mut table, Event::InitApply(("a", 1)));
        observe(&mut table, Event::InitApply(("b", 1)));
        assert_eq!(observe(&mut table, Event::InitDone), [Change::Synced]);
        observe(&mut table, Event::Init);
        assert_eq!(
            observe(&mut table, Event::InitApply(("a", 2))),
            [Change::Set("a", Some(1))]
        );
        assert_eq!(observe(&mut table, Event::InitDone), [Change::Gone("b", 1)]);
        assert_eq!(table.get("a"), Some(&2));
    }

    #[test]
    fn a_row_that_is_not_kept_any_more_is_gone() {
        let mut table = Table::default();
        observe(&mut table, Event::Apply(("a", 1)));
        assert_eq!(
            observe(&mut table, Event::Apply(("a", 0))),
            [Change::Gone("a", 1)]
        );
        assert_eq!(observe(&mut table, Event::Apply(("a", 0))), []);
        assert_eq!(observe(&mut table, Event::Delete(("a", 0))), []);
        assert!(table.is_empty());
    }
}
