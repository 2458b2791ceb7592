//! What becomes of a packet between two nodes: how long it takes, and whether it is lost, comes twice or late.
//!
//! Each choice is a keyed hash of (link, count of the packet on that link). One word holds the latencies of
//! four packets; what a rule adds is a word of its own, so that a rule on one link moves nothing on another.

use crate::entropy::Entropy;
use crate::env::LinkRule;

/// A packet takes between the link's own base and this much more.
const BASE_US: u64 = 150;
const BASE_US_MORE: u64 = 500;
const JITTER_US: u64 = 400;
/// How much later a packet comes that others overtake, and its second copy.
const OVERTAKEN_US: u64 = 3_000;

#[derive(Debug)]
struct Link {
    base: u64,
    rule: LinkRule,
    carried: u64,
    latencies: u64,
}

#[derive(Debug)]
pub struct Links {
    key: Entropy,
    nodes: u16,
    links: Vec<Link>,
}

/// The share of one word that belongs to this count: 16 bits of the word of four counts.
pub fn share(key: Entropy, purpose: &str, place: u64, count: u64) -> u16 {
    (key.word(purpose, place, count / 4) >> (count % 4 * 16)) as u16
}

impl Links {
    pub fn new(key: Entropy, nodes: u16) -> Self {
        let link = |place: u64| Link {
            base: BASE_US + key.word("link base", place, 0) % BASE_US_MORE,
            rule: LinkRule::default(),
            carried: 0,
            latencies: 0,
        };
        let links = (0..u64::from(nodes) * u64::from(nodes)).map(link).collect();
        Self { key, nodes, links }
    }

    fn place(&self, from: u16, to: u16) -> usize {
        usize::from(from) * usize::from(self.nodes) + usize::from(to)
    }

    pub fn set(&mut self, from: u16, to: u16, rule: LinkRule) {
        let place = self.place(from, to);
        self.links[place].rule = rule;
    }

    /// When the packet arrives, and when its copy does.
    pub fn carry(&mut self, now: u64, from: u16, to: u16) -> [Option<u64>; 2] {
        let place = self.place(from, to);
        let link = &mut self.links[place];
        let count = link.carried;
        link.carried += 1;
        if count.is_multiple_of(4) {
            link.latencies = self.key.word("latency", place as u64, count / 4);
        }
        let jitter = u64::from((link.latencies >> (count % 4 * 16)) as u16) * JITTER_US / 65_536;
        let at = now + link.base + jitter;
        if link.rule == LinkRule::default() {
            return [Some(at), None];
        }
        let rule = link.rule;
        if rule.cut {
            return [None, None];
        }
        let word = self.key.word("rule", place as u64, count);
        let thousandth = |shift: u64| (word >> shift & 0xffff) * 1000 / 65_536;
        if thousandth(0) < u64::from(rule.lose) {
            return [None, None];
        }
        let more = rule.delay.micros().0 + (word >> 48) * rule.jitter.micros().0 / 65_536;
        let late = if thousandth(16) < u64::from(rule.reorder) { OVERTAKEN_US } else { 0 };
        let copy = (thousandth(32) < u64::from(rule.duplicate)).then_some(at + more + OVERTAKEN_US);
        [Some(at + more + late), copy]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;
    use crate::time::Millis;

    fn links() -> Links {
        Links::new(Entropy::root(Seed(1)), 3)
    }

    #[test]
    fn a_rule_on_one_link_moves_nothing_on_another() {
        let (mut plain, mut ruled) = (links(), links());
        ruled.set(0, 1, LinkRule { lose: 500, duplicate: 500, ..LinkRule::default() });
        for _ in 0..100 {
            plain.carry(0, 0, 1);
            ruled.carry(0, 0, 1);
            assert_eq!(plain.carry(0, 1, 2), ruled.carry(0, 1, 2));
        }
    }

    #[test]
    fn rules_lose_delay_and_double_about_as_often_as_they_say() {
        let mut links = links();
        let rule = LinkRule { lose: 300, duplicate: 100, delay: Millis(50), ..LinkRule::default() };
        links.set(0, 1, rule);
        let carried: Vec<_> = (0..10_000).map(|_| links.carry(0, 0, 1)).collect();
        let lost = carried.iter().filter(|packet| packet[0].is_none()).count();
        let doubled = carried.iter().filter(|packet| packet[1].is_some()).count();
        assert!((2_800..3_200).contains(&lost), "{lost}");
        assert!((600..800).contains(&doubled), "{doubled}");
        assert!(carried.iter().flatten().flatten().all(|at| *at >= 50_000));
        links.set(0, 1, LinkRule { cut: true, ..LinkRule::default() });
        assert_eq!(links.carry(0, 0, 1), [None, None]);
    }
}
