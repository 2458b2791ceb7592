//! Chances that a rule takes with a segment, beyond a share of its own: losses that come in bursts, and how much longer
//! than its delay a segment takes. Pure functions of keyed words, without floating point.

use crate::fault::slow::Distribution;

/// The most that a heavy tail comes to, in multiples of its mean.
const TAIL_MAX: u64 = 100;
/// What one is, of a chance in 32 bits.
const ONE: u64 = 1 << 32;

/// Whether a burst of losses goes on, or begins, with this segment: two states, of which one loses all and the other
/// nothing (E. N. Gilbert, 1960; E. O. Elliott's, 1963, with no loss in the good state). The mean burst has `length`
/// segments, and in the long run so many of a thousand are lost.
pub fn goes_on(bursting: bool, lose: u16, length: u16, word: u64) -> bool {
    let (lose, length) = (u64::from(lose.min(1000)), u64::from(length.max(1)));
    let chance = word & (ONE - 1);
    if bursting {
        // Each segment ends it with a chance of one in `length`.
        chance >= ONE / length
    } else if lose == 1000 {
        true
    } else {
        // As often as a share of `lose` needs bursts of that length: lose / ((1 - lose) * length).
        chance < ONE * lose / ((1000 - lose) * length)
    }
}

/// A share in a thousand as so many of a hundred where it is that, else of a thousand.
pub fn least_terms(share: u16) -> (u64, u64) {
    let share = u64::from(share.min(1000));
    if share.is_multiple_of(10) { (share / 10, 100) } else { (share, 1000) }
}

/// Which of so many are lost: as many as the share, in an order that the words shuffle (Durstenfeld, 1964).
pub fn shuffled(share: u64, of: u64, word: impl Fn(u64) -> u64) -> Vec<bool> {
    let mut lost: Vec<bool> = (0..of).map(|n| n < share).collect();
    for last in (1..lost.len()).rev() {
        let other = (u128::from(word(last as u64)) * (last as u128 + 1)) >> 64;
        lost.swap(last, other as usize);
    }
    lost
}

/// How long a segment takes, in microseconds.
pub fn delay(shape: Distribution, delay: u64, jitter: u64, words: [u64; 3]) -> u64 {
    match shape {
        Distribution::Uniform => delay + ((u128::from(words[0] >> 48) * u128::from(jitter)) >> 16) as u64,
        Distribution::Normal => {
            // The sum of twelve shares of one has a variance of one, and a mean of six.
            let parts = words.iter().flat_map(|word| (0..4).map(move |part| (word >> (16 * part)) & 0xffff));
            let sum: u64 = parts.sum();
            let deviation = (i128::from(sum) - 6 * 65_535) * i128::from(jitter) / 65_536;
            (i128::from(delay) + deviation).max(0) as u64
        }
        Distribution::Pareto => {
            // Of Lomax's form with a shape of two, whose mean is its scale: jitter * (1 / sqrt(chance) - 1).
            let chance = (words[0] & (ONE - 1)).max(1);
            let root = ((1u128 << 64) / u128::from(chance)).isqrt() - (1 << 16);
            let more = ((u128::from(jitter) * root) >> 16) as u64;
            delay + more.min(jitter.saturating_mul(TAIL_MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{Entropy, Seed};

    fn word(n: u64, purpose: &str) -> u64 {
        Entropy::root(Seed(5)).word(purpose, 0, n)
    }

    const COUNT: u64 = 200_000;

    #[test]
    fn bursts_have_the_length_and_the_share_asked_for() {
        for (lose, length) in [(10, 1), (100, 8), (300, 3), (500, 20), (800, 4)] {
            let (mut bursting, mut lost, mut bursts) = (false, 0u64, 0u64);
            for n in 0..COUNT {
                let before = bursting;
                bursting = goes_on(bursting, lose, length, word(n, "burst"));
                lost += u64::from(bursting);
                bursts += u64::from(bursting && !before);
            }
            let share = lost * 1000 / COUNT;
            let (least, most) = (u64::from(lose) * 9 / 10, u64::from(lose) * 11 / 10 + 1);
            assert!((least..=most).contains(&share), "{share} of a thousand, {lose} asked for");
            let mean = lost * 100 / bursts;
            let length = u64::from(length) * 100;
            assert!((length * 9 / 10..=length * 11 / 10).contains(&mean), "{mean} hundredths, not {length}");
        }
    }

    #[test]
    fn an_exact_share_is_exact_in_every_block_and_shuffled_in_each() {
        assert_eq!((least_terms(200), least_terms(5)), ((20, 100), (5, 1000)));
        let block = |number: u64| shuffled(20, 100, |n| word(number * 100 + n, "exact"));
        let blocks: Vec<Vec<bool>> = (0..500).map(block).collect();
        assert!(blocks.iter().all(|block| block.iter().filter(|lost| **lost).count() == 20));
        assert!(blocks.windows(2).all(|two| two[0] != two[1]));
        for place in 0..100 {
            let times = blocks.iter().filter(|block| block[place]).count();
            assert!((65..=135).contains(&times), "place {place} was lost {times} times of 500");
        }
    }

    #[test]
    fn what_loses_all_loses_all() {
        let mut bursting = false;
        for n in 0..100 {
            bursting = goes_on(bursting, 1000, u16::MAX, word(n, "all"));
            assert!(bursting);
        }
    }

    /// Thousands of delays, sorted.
    fn delays(shape: Distribution, ahead: u64, jitter: u64) -> Vec<u64> {
        let words = |n| [word(n, "a"), word(n, "b"), word(n, "c")];
        let mut all: Vec<u64> = (0..20_000).map(|n| delay(shape, ahead, jitter, words(n))).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn delays_are_spread_as_their_names_say() {
        let mean = |all: &[u64]| all.iter().sum::<u64>() / all.len() as u64;
        let at = |all: &[u64], percent: usize| all[all.len() * percent / 100];
        let uniform = delays(Distribution::Uniform, 50_000, 10_000);
        assert!(uniform[0] >= 50_000 && *uniform.last().expect("many") < 60_000);
        assert!((54_800..55_200).contains(&mean(&uniform)), "{}", mean(&uniform));
        let normal = delays(Distribution::Normal, 50_000, 10_000);
        assert!((49_700..50_300).contains(&mean(&normal)), "{}", mean(&normal));
        // A standard deviation on both sides holds 68 of a hundred.
        assert!((39_500..40_500).contains(&at(&normal, 16)), "{}", at(&normal, 16));
        assert!((59_500..60_500).contains(&at(&normal, 84)), "{}", at(&normal, 84));
        let pareto = delays(Distribution::Pareto, 50_000, 10_000);
        // Half are beyond 1 / sqrt(1/2) - 1 of the scale, one of a hundred beyond nine times of it.
        assert!(pareto[0] >= 50_000 && *pareto.last().expect("many") <= 1_050_000);
        assert!((53_900..54_400).contains(&at(&pareto, 50)), "{}", at(&pareto, 50));
        assert!((130_000..152_000).contains(&at(&pareto, 99)), "{}", at(&pareto, 99));
        // What would be sooner than at once comes at once.
        assert_eq!(delays(Distribution::Normal, 1_000, 10_000)[0], 0);
    }
}
