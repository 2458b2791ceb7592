//! From operations and faults as the dialects think of them to events.
//!
//! The newer dialect works in *waves*: the operations of a wave start together, each in a slot of its own with
//! its own faults; when all have ended the checks run, then the next wave starts. The older one gives each
//! operation a time and runs those of one shard in order, side by side with other shards. Either way an
//! operation gets a start, and the faults are placed around it.
//!
//! All events of a slot hang on the *slot's* start with delays that add up, not on one another: a fault that is
//! skipped must not take the operation with it.

use super::super::{EventSpec, Spread, StartSpec};
use crate::catalogue::{Action, EventId, NodeSelector};
use crate::entropy::Entropy;
use crate::fault::kill::{Kill, Signal};
use crate::target::operation::{Aim, CheckNow, Failover, FailoverMode};
use crate::time::Millis;
use std::collections::BTreeMap;

/// What a failover takes on a healthy cluster, for the length of the run; what takes longer is waited for.
const FAILOVER_TYPICAL: Millis = Millis(3000);

/// One failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub line: u32,
    pub target: OperationTarget,
    /// Operations of one group run one after the other.
    pub group: String,
    pub force: bool,
    pub timeout: Millis,
    /// The earliest start since the run begins; only where there are no waves.
    pub due: Millis,
    pub delay_before: Millis,
    pub delay_after: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationTarget {
    Shard(u16),
    Node(NodeSelector),
}

/// The faults of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Faults {
    /// The same at every operation.
    Each(Chaos),
    /// One by one, each at the operation it goes with.
    Listed(Vec<Strike>),
}

/// What the newer dialect does at every operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chaos {
    pub signal: Signal,
    pub victim: NodeSelector,
    /// A victim that is named is not spared, even as the last of its shard.
    pub named: bool,
    pub before: bool,
    pub during: bool,
    pub after: bool,
    pub delay_before: Millis,
    pub delay_after: Millis,
    /// Signal, moment and victim are drawn for each operation.
    pub drawn: bool,
}

/// One fault of the older dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    pub line: u32,
    pub signal: Signal,
    pub shard: u16,
    pub node: NodeSelector,
    pub moment: Moment,
    pub delay: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Before,
    During,
    After,
}

/// What is looked at between waves, and how.
#[derive(Clone, Debug)]
pub struct Look {
    pub checks: Vec<String>,
    pub stabilize: Millis,
    pub within: Millis,
    pub blocking: bool,
    /// The checks whose failure ends the run.
    pub critical: Vec<String>,
}

/// The order in which operations start.
#[derive(Clone, Debug)]
pub enum Order {
    Waves(Look),
    SideBySide,
}

/// What becomes of operations and faults.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub events: Vec<EventSpec>,
    pub dice: Vec<Dice>,
    /// About how long it takes; the run goes on while events wait for one another.
    pub length: Millis,
}

/// An operation whose fault the seed draws: what is struck, how, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dice {
    slot: Slot,
    chaos: Chaos,
}

/// Where an operation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    number: usize,
    start: StartSpec,
    /// From the start to the begin of the slot.
    delay: Millis,
    operation: Operation,
}

/// Lays the operations out, the run beginning at `zero`.
pub fn plan(operations: &[Operation], faults: &Faults, order: &Order, zero: Millis) -> Plan {
    let mut plan = Plan { length: zero, ..Plan::default() };
    match order {
        Order::Waves(look) => waves(operations, faults, look, zero, &mut plan),
        Order::SideBySide => side_by_side(operations, faults, zero, &mut plan),
    }
    plan
}

fn failover_id(number: usize) -> EventId {
    format!("failover-{number}").into()
}

fn waves(operations: &[Operation], faults: &Faults, look: &Look, zero: Millis, plan: &mut Plan) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut waves: Vec<Vec<usize>> = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        let wave = seen.entry(&operation.group).or_default();
        if waves.len() == *wave {
            waves.push(Vec::new());
        }
        waves[*wave].push(index);
        *wave += 1;
    }
    let (mut start, mut begins) = (StartSpec::At(Spread::exactly(zero)), Millis(0));
    for (wave, members) in waves.iter().enumerate() {
        let mut tail = Millis(0);
        let mut lead = Millis(0);
        for index in members {
            let operation = &operations[*index];
            let slot =
                Slot { number: index + 1, start: start.clone(), delay: begins, operation: operation.clone() };
            let (before, after) = place(slot, operations, faults, plan);
            lead = lead.max(before);
            tail = tail.max(after);
        }
        let ended: Vec<EventId> = members.iter().map(|index| failover_id(index + 1)).collect();
        plan.length = Millis(plan.length.0 + lead.0 + FAILOVER_TYPICAL.0 + tail.0);
        if look.checks.is_empty() {
            // Nothing to look at: the next wave starts when the faults of this one are through.
            (start, begins) = (StartSpec::After(ended), tail);
            continue;
        }
        let id = EventId::from(format!("check-{}", wave + 1));
        plan.events.push(EventSpec {
            id: id.clone(),
            start: StartSpec::After(ended),
            delay: Spread::exactly(tail),
            within: None,
            action: Action::Check(CheckNow {
                checks: look.checks.clone(),
                stabilize: look.stabilize,
                within: look.within,
                blocking: look.blocking,
                critical: look.critical.clone(),
            }),
            lasts: None,
            line: operations[members[0]].line,
        });
        plan.length = plan.length.saturating_add(look.stabilize);
        (start, begins) = (StartSpec::After(vec![id]), Millis(0));
    }
}

fn side_by_side(operations: &[Operation], faults: &Faults, zero: Millis, plan: &mut Plan) {
    // The last operation of each group so far, and what it leaves to wait.
    let mut last: BTreeMap<&str, (EventId, Millis)> = BTreeMap::new();
    let mut ends: BTreeMap<&str, Millis> = BTreeMap::new();
    for (index, operation) in operations.iter().enumerate() {
        let number = index + 1;
        let due = zero.saturating_add(operation.due);
        let (start, delay) = match last.get(operation.group.as_str()) {
            None => (StartSpec::At(Spread::exactly(due)), Millis(0)),
            Some((previous, wait)) if operation.due.0 == 0 => {
                (StartSpec::After(vec![previous.clone()]), *wait)
            }
            Some((previous, wait)) => {
                // No earlier than its time *and* after the one before: a harmless event marks the time.
                let mark = EventId::from(format!("due-{number}"));
                let node = match &operation.target {
                    OperationTarget::Shard(shard) => NodeSelector::Primary(*shard),
                    OperationTarget::Node(node) => node.clone(),
                };
                plan.events.push(EventSpec {
                    id: mark.clone(),
                    start: StartSpec::At(Spread::exactly(due)),
                    delay: Spread::exactly(Millis(0)),
                    within: None,
                    action: Action::Aim(Aim { node, spare_shard: false, spare_dead: false }),
                    lasts: None,
                    line: operation.line,
                });
                (StartSpec::After(vec![previous.clone(), mark]), *wait)
            }
        };
        let slot = Slot { number, start, delay, operation: operation.clone() };
        let (before, after) = place(slot, operations, faults, plan);
        last.insert(&operation.group, (failover_id(number), operation.delay_after));
        let end = ends.entry(&operation.group).or_default();
        let begins = (*end).max(operation.due);
        *end = begins.saturating_add(before).saturating_add(FAILOVER_TYPICAL).saturating_add(after);
        plan.length = plan.length.max(zero.saturating_add(*end));
    }
}

/// Places one operation with its faults. Gives the time before the operation and the time after it.
fn place(slot: Slot, operations: &[Operation], faults: &Faults, plan: &mut Plan) -> (Millis, Millis) {
    let operation = &slot.operation;
    match faults {
        Faults::Each(chaos) if chaos.drawn => {
            let before = Millis(operation.delay_before.0 + scale(chaos.delay_before, SCALE.1).0);
            let after = Millis(operation.delay_after.0 + scale(chaos.delay_after, SCALE.1).0);
            plan.dice.push(Dice { slot, chaos: chaos.clone() });
            (before, after)
        }
        Faults::Each(chaos) => {
            let before = if chaos.before { chaos.delay_before } else { Millis(0) };
            let after = if chaos.after { chaos.delay_after } else { Millis(0) };
            let times =
                (Millis(operation.delay_before.0 + before.0), Millis(operation.delay_after.0 + after.0));
            plan.events.extend(slot.events(chaos));
            times
        }
        Faults::Listed(strikes) => {
            let mine: Vec<(usize, &Strike)> = strikes
                .iter()
                .enumerate()
                .filter(|(position, strike)| goes_with(*position, strike, operations) == slot.number - 1)
                .collect();
            let held = mine.iter().filter(|(_, strike)| strike.moment == Moment::Before);
            let held = held.map(|(_, strike)| strike.delay).max().unwrap_or_default();
            let after = mine.iter().filter(|(_, strike)| strike.moment == Moment::After);
            let after = after.map(|(_, strike)| strike.delay).max().unwrap_or_default();
            for (position, strike) in &mine {
                plan.events.push(slot.strike(*position, strike));
            }
            plan.events.push(slot.failover(held));
            (Millis(held.0 + operation.delay_before.0), Millis(operation.delay_after.0.max(after.0)))
        }
    }
}

/// Which operation a listed fault goes with: the first one on its shard, else the one at its own position, else
/// the last.
fn goes_with(position: usize, strike: &Strike, operations: &[Operation]) -> usize {
    let same = operations.iter().position(|o| o.target == OperationTarget::Shard(strike.shard));
    same.unwrap_or(position.min(operations.len() - 1))
}

impl Slot {
    fn event(&self, id: EventId, delay: Millis, action: Action) -> EventSpec {
        EventSpec {
            id,
            start: self.start.clone(),
            delay: Spread::exactly(self.delay.saturating_add(delay)),
            within: None,
            action,
            lasts: None,
            line: self.operation.line,
        }
    }

    /// The operation, `held` back by its faults.
    fn failover(&self, held: Millis) -> EventSpec {
        let (shard, of) = match &self.operation.target {
            OperationTarget::Shard(shard) => (Some(*shard), None),
            OperationTarget::Node(node) => (None, Some(node.clone())),
        };
        let mode = if self.operation.force { FailoverMode::Force } else { FailoverMode::Default };
        let failover = Failover { shard, of, mode, to: None, timeout: self.operation.timeout };
        let delay = held.saturating_add(self.operation.delay_before);
        self.event(failover_id(self.number), delay, Action::Failover(failover))
    }

    fn strike(&self, position: usize, strike: &Strike) -> EventSpec {
        let id = format!("kill-{}", position + 1).into();
        let kill =
            Kill { node: strike.node.clone(), signal: strike.signal, spare_shard: false, spare_dead: false };
        let mut event = self.event(id, strike.delay, Action::Kill(kill));
        match strike.moment {
            Moment::Before => {}
            Moment::During => {
                event.start = StartSpec::With(failover_id(self.number));
                event.delay = Spread::exactly(strike.delay);
            }
            Moment::After => {
                event.start = StartSpec::After(vec![failover_id(self.number)]);
                event.delay = Spread::exactly(strike.delay);
            }
        }
        event.line = strike.line;
        event
    }

    /// The operation with its faults. The victim is chosen as the slot begins, and every moment strikes it.
    fn events(&self, chaos: &Chaos) -> Vec<EventSpec> {
        let number = self.number;
        let several = u8::from(chaos.before) + u8::from(chaos.during) + u8::from(chaos.after) > 1;
        let id = |moment: &str| {
            EventId::from(if several { format!("kill-{number}-{moment}") } else { format!("kill-{number}") })
        };
        let kill = |node: NodeSelector, first: bool| {
            Action::Kill(Kill {
                node,
                signal: chaos.signal,
                spare_shard: first && !chaos.named,
                spare_dead: first,
            })
        };
        let mut events = Vec::new();
        let mut chosen: Option<NodeSelector> = None;
        let at_once = if chaos.before { chaos.delay_before.0 == 0 } else { chaos.during };
        if (chaos.before || chaos.after) && !at_once {
            let aim = Aim { node: chaos.victim.clone(), spare_shard: !chaos.named, spare_dead: true };
            let id = EventId::from(format!("aim-{number}"));
            events.push(self.event(id.clone(), Millis(0), Action::Aim(aim)));
            chosen = Some(NodeSelector::SameAs(id));
        }
        let mut strike = |moment: &str| {
            let first = chosen.is_none();
            let node = chosen.clone().unwrap_or_else(|| chaos.victim.clone());
            chosen.get_or_insert_with(|| NodeSelector::SameAs(id(moment)));
            (id(moment), kill(node, first))
        };
        let held = if chaos.before { chaos.delay_before } else { Millis(0) };
        if chaos.before {
            let (id, action) = strike("before");
            events.push(self.event(id, held, action));
        }
        if chaos.during {
            let (id, action) = strike("during");
            events.push(self.event(id, held, action));
        }
        events.push(self.failover(held));
        if chaos.after {
            let (id, action) = strike("after");
            let delay = self.operation.delay_after.saturating_add(chaos.delay_after);
            let mut event = self.event(id, Millis(0), action);
            event.start = StartSpec::After(vec![failover_id(number)]);
            event.delay = Spread::exactly(delay);
            events.push(event);
        }
        events
    }
}

/// By how much a drawn delay may differ from what is written, in a thousand.
const SCALE: (u64, u64) = (800, 1200);

fn scale(delay: Millis, thousandths: u64) -> Millis {
    Millis(delay.0.saturating_mul(thousandths) / 1000)
}

impl Dice {
    /// The events of this operation under `entropy`, from a sub-stream of its own: what another operation draws
    /// does not depend on this one.
    pub fn expand(&self, entropy: &Entropy) -> Vec<EventSpec> {
        let mut rng = entropy.child("dice").nth(self.slot.number as u64).rng();
        let signal = *rng.pick(&[Signal::Kill, Signal::Term]);
        let moment = *rng.pick(&[Moment::Before, Moment::During, Moment::After]);
        let any = [NodeSelector::Any, NodeSelector::AnyPrimary, NodeSelector::AnyReplica];
        let victim = rng.pick(&any).clone();
        let before = scale(self.chaos.delay_before, rng.range(SCALE.0, SCALE.1));
        let after = scale(self.chaos.delay_after, rng.range(SCALE.0, SCALE.1));
        self.slot.events(&Chaos {
            signal,
            victim: if self.chaos.named { self.chaos.victim.clone() } else { victim },
            before: moment == Moment::Before,
            during: moment == Moment::During,
            after: moment == Moment::After,
            delay_before: before,
            delay_after: after,
            ..self.chaos.clone()
        })
    }
}
