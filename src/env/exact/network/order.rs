//! The order in which messages of the cluster bus arrive, perturbed a few times: windows, opened around moments that
//! mean something to the cluster, in which each chunk takes longer by an amount of its own, so that what different
//! senders say overtakes one another. Within one connection the order stays, as TCP has it.
//!
//! A delay that is spread over all of a run changes little: what matters is which of a handful of messages comes first,
//! in the few moments in which that decides something. Whatever a window draws is a keyed hash.

use super::link::Place;
use crate::catalogue::MessageType;
use crate::entropy::Entropy;
use std::collections::BTreeMap;
use std::fmt;

/// How long a window is open: an election takes half a second to two.
const LENGTHS_US: [u64; 3] = [300_000, 1_000_000, 3_000_000];
/// The most that a chunk takes longer within it: less than a turn of the cluster's clock (100 ms), or several.
const SPREADS_US: [u64; 4] = [5_000, 30_000, 150_000, 400_000];

/// What opens a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    /// The *n*-th moment in which a node is killed or links are cut.
    Strike(u64),
    /// The *n*-th message of this type.
    Message(MessageType, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    trigger: Trigger,
    length: u64,
    spread: u64,
}

/// The windows of a run.
#[derive(Debug)]
pub struct Order {
    key: Entropy,
    windows: Vec<Window>,
    /// Until when those are open that were opened, and how far they spread.
    open: Vec<(u64, u64)>,
    strikes: u64,
    struck_at: Option<u64>,
    messages: BTreeMap<MessageType, u64>,
}

impl Order {
    pub fn new(key: Entropy, windows: u8) -> Self {
        let draw = |number: u64| {
            let word = |purpose| key.word(purpose, number, 0);
            let nth = |most: u64| 1 + word("nth") % most;
            let trigger = match word("trigger") % 4 {
                0 | 1 => Trigger::Strike(nth(3)),
                2 => Trigger::Message(MessageType::Fail, nth(6)),
                _ => Trigger::Message(MessageType::FailoverAuthRequest, nth(4)),
            };
            let length = LENGTHS_US[(word("length") % LENGTHS_US.len() as u64) as usize];
            let spread = SPREADS_US[(word("spread") % SPREADS_US.len() as u64) as usize];
            Window { trigger, length, spread }
        };
        Self {
            windows: (0..u64::from(windows)).map(draw).collect(),
            key,
            open: Vec::new(),
            strikes: 0,
            struck_at: None,
            messages: BTreeMap::new(),
        }
    }

    /// A node was killed, or a link was cut; all that is struck at one instant counts once.
    pub fn struck(&mut self, now: u64) {
        if self.struck_at.replace(now) != Some(now) {
            self.strikes += 1;
            self.opens(now, Trigger::Strike(self.strikes));
        }
    }

    /// A message was sent.
    pub fn sent(&mut self, now: u64, kind: MessageType) {
        if matches!(kind, MessageType::Fail | MessageType::FailoverAuthRequest) {
            let count = self.messages.entry(kind).or_default();
            *count += 1;
            let trigger = Trigger::Message(kind, *count);
            self.opens(now, trigger);
        }
    }

    fn opens(&mut self, now: u64, trigger: Trigger) {
        self.open.retain(|(until, _)| *until > now);
        let opened = self.windows.iter().filter(|window| window.trigger == trigger);
        self.open.extend(opened.map(|window| (now + window.length, window.spread)));
    }

    /// How much longer a chunk of the cluster bus takes.
    pub fn more(&self, now: u64, place: Place) -> u64 {
        let spread = self.open.iter().filter(|(until, _)| now < *until).map(|(_, spread)| *spread).max();
        spread.map_or(0, |spread| self.key.word("more", place.word(), place.chunk) % spread)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.windows.is_empty() {
            return f.write_str("messages keep their order");
        }
        f.write_str("messages of the bus overtake one another")?;
        for (number, Window { trigger, length, spread }) in self.windows.iter().enumerate() {
            let and = if number == 0 { "" } else { "," };
            write!(f, "{and} for {} ms by up to {} ms after ", length / 1000, spread / 1000)?;
            match trigger {
                Trigger::Strike(nth) => write!(f, "strike {nth}")?,
                Trigger::Message(kind, nth) => write!(f, "{kind} {nth}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;

    const PLACE: Place = Place { link: (0, 1), connection: 1, chunk: 0 };

    fn order(windows: Vec<Window>) -> Order {
        Order { windows, ..Order::new(Entropy::root(Seed(1)), 0) }
    }

    #[test]
    fn a_window_opens_at_its_own_moment_and_closes() {
        let strike = Window { trigger: Trigger::Strike(2), length: 1_000, spread: 400 };
        let fail = Window { trigger: Trigger::Message(MessageType::Fail, 1), length: 10, spread: 400 };
        let mut order = order(vec![strike, fail]);
        let any = |order: &Order, now| (0..100).any(|chunk| order.more(now, Place { chunk, ..PLACE }) > 0);
        order.struck(5);
        order.struck(5);
        order.sent(5, MessageType::Ping);
        assert!(!any(&order, 5), "one moment is one strike");
        order.struck(6);
        assert!(any(&order, 1_005) && !any(&order, 1_006));
        order.sent(2_000, MessageType::Fail);
        assert!(any(&order, 2_009) && !any(&order, 2_010));
        order.sent(3_000, MessageType::Fail);
        assert!(!any(&order, 3_000), "the second is not the first");
    }

    #[test]
    fn chunks_within_a_window_take_times_of_their_own_below_its_spread() {
        let mut order = order(vec![Window { trigger: Trigger::Strike(1), length: 1_000, spread: 400 }]);
        order.struck(0);
        let times: Vec<u64> = (0..50).map(|chunk| order.more(1, Place { chunk, ..PLACE })).collect();
        assert!(times.iter().all(|time| *time < 400), "{times:?}");
        assert!(times.iter().min() < Some(&50) && times.iter().max() > Some(&350), "{times:?}");
    }

    #[test]
    fn keys_draw_every_trigger() {
        let drawn = |seed| Order::new(Entropy::root(Seed(seed)), 3).windows;
        let all: Vec<Window> = (0..50).flat_map(drawn).collect();
        for nth in 1..=3 {
            assert!(all.iter().any(|window| window.trigger == Trigger::Strike(nth)));
            assert!(all.iter().any(|window| window.trigger == Trigger::Message(MessageType::Fail, nth)));
            let request = Trigger::Message(MessageType::FailoverAuthRequest, nth);
            assert!(all.iter().any(|window| window.trigger == request));
        }
        assert!(drawn(1).len() == 3 && drawn(1) == drawn(1));
    }
}
