//! What the run tells while it lasts.

use super::Executor;
use crate::env::NodeId;
use crate::history::Operation;
use crate::run::event::{Phase, RunEvent, since_healthy};
use crate::time::{Micros, Millis};
use crate::timeline::Role;

impl Executor<'_> {
    pub(super) fn emit(&mut self, make: impl Fn(i64) -> RunEvent) {
        let world = self.world.borrow();
        let at = since_healthy(world.now, world.healthy_at.unwrap_or(Micros(0)));
        drop(world);
        self.sink.event(&make(at));
    }

    pub(super) fn phase(&mut self, phase: Phase) {
        self.emit(|at_us| RunEvent::Phase { at_us, phase });
    }

    pub(super) fn tell(&mut self) {
        let (notes, roles): (Vec<String>, Vec<(NodeId, Role, u16)>) = {
            let world = self.world.borrow();
            let changed = world
                .nodes
                .values()
                .filter(|n| n.id.is_some() && self.told.roles.get(&n.node) != Some(&n.role));
            (world.notes[self.told.notes..].to_vec(), changed.map(|n| (n.node, n.role, n.shard)).collect())
        };
        self.told.notes += notes.len();
        for text in notes {
            self.emit(|at_us| RunEvent::Note { at_us, text: text.clone() });
        }
        for (node, role, shard) in roles {
            self.told.roles.insert(node, role);
            self.emit(|at_us| RunEvent::Role { at_us, node, role: role.to_string(), shard: Some(shard) });
        }
        let operations = self.world.borrow().history[self.told.operations..].to_vec();
        if !operations.is_empty() {
            self.told.operations += operations.len();
            self.sink.operations(&operations);
        }
        let now = self.env.now();
        if now.since(self.told.progress_at) >= Millis::secs(1).micros() {
            self.told.progress_at = now;
            let world = self.world.borrow();
            let operations = world.history.len() as u64;
            let ok = world.history.iter().filter(|operation| operation.ok()).count() as u64;
            let since = &world.history[self.told.progress_operations.min(world.history.len())..];
            let took = |operation: &Operation| operation.complete.wall.since(operation.invoke.wall).0;
            let mut latencies: Vec<u64> = since.iter().filter(|operation| operation.ok()).map(took).collect();
            latencies.sort_unstable();
            let at =
                |percent: usize| latencies.get((latencies.len() * percent).div_ceil(100).max(1) - 1).copied();
            let (latency_p50_us, latency_p99_us) = (at(50), at(99));
            self.told.progress_operations = world.history.len();
            let nodes = world.nodes.values().filter(|n| !n.removed).count() as u16;
            let nodes_up = world.nodes.values().filter(|n| n.up && !n.removed).count() as u16;
            drop(world);
            let events_applied = self.plan.iter().filter(|planned| planned.started.is_some()).count() as u16;
            let events = self.plan.len() as u16;
            self.emit(|at_us| RunEvent::Progress {
                at_us,
                operations,
                ok,
                nodes_up,
                nodes,
                events_applied,
                events,
                latency_p50_us,
                latency_p99_us,
            });
        }
    }
}
