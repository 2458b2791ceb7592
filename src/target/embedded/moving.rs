//! Slots on their way from one shard to another: a logged command of two phases.
//!
//! The map's log says that a migration begins. The giver's primary logs that it freezes the slots, and sends
//! their keys; the taker's primary logs that it has installed them, and asks the map to commit. When the map
//! says that the slots are the taker's, the giver logs that it drops them. Each step is idempotent and is asked
//! for again until its effect is seen in a log, so that either primary, or both, may die anywhere between.
//! From the freeze to the installation nobody serves the slots (`TRYAGAIN`); after it the taker does, and the
//! giver answers `ASK`. A migration may be told to stop after a step: its slots stay open.

use super::command::{Bytes, Command};
use super::machine::Value;
use super::node::{ASK_AGAIN_US, Body, Node};
use crate::target::operation::StopAfter;
use std::collections::BTreeSet;
use std::sync::Arc;

const FREEZE: u8 = 1;
const SEND: u8 = 2;
const COMMIT: u8 = 3;
const DROP: u8 = 4;

impl Node {
    /// True once for each step, and again after a while.
    fn due(&mut self, migration: u64, step: u8) -> bool {
        match self.moves.get(&migration) {
            Some((last, at)) if *last == step && self.now < at + ASK_AGAIN_US => false,
            _ => {
                self.moves.insert(migration, (step, self.now));
                true
            }
        }
    }

    /// Takes every migration that this node has a part in one step further.
    pub(super) fn move_slots(&mut self) {
        let frozen = &self.data_state().frozen;
        if self.map.migrations.is_empty() && frozen.is_empty() || !self.data().leads() {
            return;
        }
        let map = self.map.clone();
        for open in map.migrations.iter().filter(|open| !open.slots.is_empty()) {
            let hold = matches!(open.stop, StopAfter::Importing | StopAfter::Migrating);
            if open.from == self.shard && !hold {
                let state = self.data_state();
                let is_frozen = open.slots.iter().all(|slot| state.frozen.get(slot) == Some(&open.id));
                if !is_frozen {
                    if self.due(open.id, FREEZE) {
                        let freeze = Command::Freeze { migration: open.id, slots: open.slots.clone() };
                        self.groups[0].1.propose(Arc::new(freeze));
                    }
                } else if open.stop != StopAfter::SomeKeys
                    && !self.installed_there.contains_key(&open.id)
                    && self.due(open.id, SEND)
                {
                    let keys = Arc::new(self.data_state().keys_of(&open.slots));
                    let taker = map.shards[usize::from(open.to)].primary;
                    self.send(taker, Body::Keys { migration: open.id, slots: open.slots.clone(), keys });
                }
            }
            let installed = self.data_state().installed.contains(&open.id);
            if open.to == self.shard
                && installed
                && open.stop != StopAfter::AllKeys
                && self.due(open.id, COMMIT)
            {
                self.ask_map(Arc::new(Command::Commit { migration: open.id }));
            }
        }
        let open: BTreeSet<u64> = map.migrations.iter().map(|open| open.id).collect();
        let done: BTreeSet<u64> =
            self.data_state().frozen.values().copied().filter(|id| !open.contains(id)).collect();
        for migration in done {
            if self.due(migration, DROP) {
                self.groups[0].1.propose(Arc::new(Command::Drop { migration }));
            }
        }
    }

    /// The keys of a migration came from the giver.
    pub(super) fn keys_came(
        &mut self,
        from: u16,
        migration: u64,
        slots: Arc<[u16]>,
        keys: Arc<Vec<(Bytes, Value)>>,
    ) {
        if self.data_state().installed.contains(&migration) {
            self.send(from, Body::Installed { migration });
        } else if self.data().leads() {
            self.groups[0].1.propose(Arc::new(Command::Install { migration, slots, keys }));
        }
    }

    /// Whether this slot was frozen here and is served by the taker already.
    pub(super) fn taker_of(&self, slot: u16) -> Option<u16> {
        let migration = self.data_state().frozen.get(&slot)?;
        let open = self.map.migrations.iter().find(|open| open.id == *migration)?;
        let installed = self.installed_there.contains_key(migration);
        installed.then(|| self.map.shards[usize::from(open.to)].primary)
    }
}
