//! What each client is going to do: operation *i* of client *c* is a pure function of the timeline's key, *c* and
//! *i*. Nothing that happens in a run changes it.

use super::resp;
use crate::entropy::{Entropy, Rng};
use crate::history::{Key, KeyKind, OpKind};
use crate::timeline::{Cluster, Load, Skew};

/// One operation before it is issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    pub index: u64,
    pub kind: OpKind,
    pub key: Key,
    /// A text that no other operation of the run writes.
    pub argument: Option<String>,
    /// Several writes to one slot in one `MULTI`; this intent's key gives the number.
    pub transaction: bool,
}

/// A client's work.
#[derive(Clone, Debug)]
pub struct Workload {
    pub client: u32,
    pub load: Load,
    entropy: Entropy,
    /// Numbers of the keys.
    numbers: Vec<u32>,
    /// Running sums of the keys' weights.
    cumulative: Vec<u64>,
    weights: [u64; 6],
}

const KINDS: [OpKind; 6] =
    [OpKind::Get, OpKind::Set, OpKind::Incr, OpKind::Append, OpKind::Add, OpKind::Delete];
const KEY_KINDS: [KeyKind; 4] = [KeyKind::Register, KeyKind::Counter, KeyKind::List, KeyKind::Set];

impl Workload {
    pub fn new(load: &Load, cluster: &Cluster, key: &Entropy, client: u32) -> Self {
        let numbers = key_numbers(load, cluster);
        let mut total = 0;
        let cumulative = (0..numbers.len() as u64)
            .map(|rank| {
                total += match load.skew {
                    Skew::Uniform => 1,
                    Skew::Zipf => 1_000_000 / (rank + 1),
                    // Nine of ten operations go to a fiftieth of the keys.
                    Skew::Hot => {
                        if rank < (numbers.len() as u64).div_ceil(50) {
                            9 * 50
                        } else {
                            1
                        }
                    }
                };
                total
            })
            .collect();
        let mix = load.mix_in_force();
        let weights = [mix.get, mix.set, mix.incr, mix.append, mix.add, mix.delete].map(u64::from);
        Self {
            client,
            load: load.clone(),
            entropy: key.child("load").nth(u64::from(client)),
            numbers,
            cumulative,
            weights,
        }
    }

    pub fn intent(&self, index: u64) -> Intent {
        let mut rng = self.entropy.nth(index).rng();
        let transaction = rng.below(1000) < u64::from(self.load.transactions);
        let kind = rng.weighted(&self.weights).map_or(OpKind::Get, |place| KINDS[place]);
        let number = self.number(&mut rng);
        let key_kind = match kind {
            OpKind::Get => *rng.pick(&KEY_KINDS),
            OpKind::Set | OpKind::Delete => KeyKind::Register,
            OpKind::Incr => KeyKind::Counter,
            OpKind::Append => KeyKind::List,
            OpKind::Add => KeyKind::Set,
        };
        let argument =
            matches!(kind, OpKind::Set | OpKind::Append | OpKind::Add).then(|| self.argument(index));
        Intent { index, kind, key: Key { kind: key_kind, number }, argument, transaction }
    }

    /// The text that operation `index` of this client writes.
    pub fn argument(&self, index: u64) -> String {
        format!("c{}-{index}", self.client)
    }

    fn number(&self, rng: &mut Rng) -> u32 {
        let total = *self.cumulative.last().expect("a load has keys");
        let drawn = rng.below(total);
        self.numbers[self.cumulative.partition_point(|sum| *sum <= drawn)]
    }
}

/// The numbers of the keys: the first ones whose slot lies, at the start, on a shard that the load asks for.
pub fn key_numbers(load: &Load, cluster: &Cluster) -> Vec<u32> {
    let wanted = load.keys.max(1) as usize;
    if load.shards.is_empty() {
        return (0..wanted as u32).collect();
    }
    let ranges: Vec<(u16, u16)> =
        load.shards.iter().filter(|s| **s < cluster.shards).map(|s| cluster.slots(*s)).collect();
    let on_shard = |number: &u32| {
        let slot = resp::slot(Key { kind: KeyKind::Register, number: *number }.to_string().as_bytes());
        ranges.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    };
    let found: Vec<u32> = (0..20_000_000).filter(on_shard).take(wanted).collect();
    if found.is_empty() { (0..wanted as u32).collect() } else { found }
}

/// A register's value on the wire: the unique text, padded.
pub fn pad(argument: &str, value_bytes: u32) -> String {
    let mut value = argument.to_string();
    while value.len() < value_bytes as usize {
        value.push('.');
    }
    value
}

/// The unique text of a value as read. What no client wrote stays as it is, and so is told apart.
pub fn unpad(value: &str, value_bytes: u32) -> String {
    let bare = value.trim_end_matches('.');
    if pad(bare, value_bytes) == value { bare.into() } else { value.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;
    use crate::timeline::{Formation, Settings};

    fn cluster() -> Cluster {
        Cluster {
            shards: 3,
            replicas: 1,
            formation: Formation::Written,
            settings: Settings::default(),
            password: false,
            acl_user: false,
            base_port: None,
        }
    }

    #[test]
    fn an_intent_depends_on_its_place_alone() {
        let key = Entropy::root(Seed(7));
        let one = Workload::new(&Load::default(), &cluster(), &key, 2);
        let again = Workload::new(&Load::default(), &cluster(), &key, 2);
        let late = again.intent(40);
        assert_eq!((0..50).map(|i| one.intent(i)).nth(40), Some(late));
        assert_ne!(one.intent(1), Workload::new(&Load::default(), &cluster(), &key, 3).intent(1));
    }

    #[test]
    fn keys_can_be_kept_to_one_shard() {
        let load = Load { shards: vec![1], keys: 20, ..Load::default() };
        let (first, last) = cluster().slots(1);
        for number in key_numbers(&load, &cluster()) {
            let slot = resp::slot(format!("r:{{{number}}}").as_bytes());
            assert!((first..=last).contains(&slot));
        }
    }

    #[test]
    fn padding_comes_off_and_strangers_stay() {
        assert_eq!(unpad(&pad("c1-2", 64), 64), "c1-2");
        assert_eq!(unpad("c1-2...", 64), "c1-2...");
        assert_eq!(unpad(&pad("a-long-text", 4), 4), "a-long-text");
    }
}
