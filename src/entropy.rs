//! Where every random choice comes from: a seed, sub-streams by name, and integers only.
//!
//! A sub-stream is a keyed BLAKE3 hash of its parent's key and a label, and feeds `ChaCha8`; adding one never
//! disturbs another. The sampling is our own (Lemire's multiplication with rejection), because that of the
//! `rand` crate changed between versions and a seed must mean the same for ever. [`GENERATOR`] names the
//! whole construction and is written into every repro.

use blake3::hazmat::{ContextKey, HasherExt as _, hash_derive_key_context};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::LazyLock;

/// The construction below, by name and version.
pub const GENERATOR: &str = "chacha8-blake3/1";

/// The number a run is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a seed was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedSource {
    Number,
    /// Any other text, a git commit or a date for instance, hashed to a number.
    Hashed(String),
}

/// Why a text is no seed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    #[error("the seed is empty; give a number from 0 to 18446744073709551615 or any word")]
    Empty,
    #[error("`{0}` is more than 18446744073709551615, the largest seed; drop some digits")]
    TooLarge(String),
    #[error("`{0}` has a colon, which no seed may have; give a number, or a word without one")]
    Colon(String),
}

impl Seed {
    /// Reads a `u64` as it is and hashes any other text; says which of the two it did.
    pub fn parse(text: &str) -> Result<(Self, SeedSource), SeedError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SeedError::Empty);
        }
        if text.contains(':') {
            return Err(SeedError::Colon(text.into()));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse() {
                Ok(number) => Ok((Self(number), SeedSource::Number)),
                Err(_) => Err(SeedError::TooLarge(text.into())),
            };
        }
        let key = blake3::derive_key("seedfault 2026 text seed", text.as_bytes());
        Ok((Self(word(&key)), SeedSource::Hashed(text.into())))
    }
}

fn word(bytes: &[u8; 32]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight of 32 bytes"))
}

/// A named point in the tree of sub-streams.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entropy {
    key: [u8; 32],
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entropy({:016x})", word(&self.key))
    }
}

impl Entropy {
    /// The root of everything that a seed decides.
    pub fn root(seed: Seed) -> Self {
        // `blake3::derive_key`, whose first half is the same for every seed.
        static CONTEXT: LazyLock<ContextKey> =
            LazyLock::new(|| hash_derive_key_context("seedfault 2026 root"));
        let mut hasher = blake3::Hasher::new_from_context_key(&CONTEXT);
        Self { key: *hasher.update(&seed.0.to_le_bytes()).finalize().as_bytes() }
    }

    /// The sub-stream of this name.
    #[inline]
    #[must_use]
    pub fn child(&self, label: &str) -> Self {
        Self { key: *blake3::keyed_hash(&self.key, label.as_bytes()).as_bytes() }
    }

    /// The sub-stream of this number, for instance of the *n*-th event.
    #[inline]
    #[must_use]
    pub fn nth(&self, number: u64) -> Self {
        Self { key: *blake3::keyed_hash(&self.key, &number.to_le_bytes()).as_bytes() }
    }

    /// One word that depends on this place alone: the way the environment makes a choice during a run.
    pub fn word(&self, purpose: &str, place: u64, count: u64) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(purpose.as_bytes()).update(&place.to_le_bytes()).update(&count.to_le_bytes());
        word(hasher.finalize().as_bytes())
    }

    /// A generator that starts at this point.
    #[inline]
    pub fn rng(&self) -> Rng {
        Rng { words: ChaCha8Rng::from_seed(self.key) }
    }
}

/// Weights, each with the sum of those before it.
#[derive(Clone, Debug)]
pub struct Weights<const N: usize> {
    sums: [u64; N],
}

impl<const N: usize> Weights<N> {
    pub fn new(weights: &[u64; N]) -> Self {
        let mut sum = 0;
        Self {
            sums: weights.map(|weight| {
                sum += weight;
                sum
            }),
        }
    }
}

/// A stream of words with integer sampling.
#[derive(Clone, Debug)]
pub struct Rng {
    words: ChaCha8Rng,
}

impl Rng {
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.words.next_u64()
    }

    /// An integer below `bound`, each equally likely (Lemire 2019, "Fast random integer generation").
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing to choose from");
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(bound);
            // The threshold is below the bound, so that the division is hardly ever needed.
            if wide as u64 >= bound || wide as u64 >= bound.wrapping_neg() % bound {
                return (wide >> 64) as u64;
            }
        }
    }

    /// An integer from `low` to `high`, both included.
    #[inline]
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range");
        match (high - low).checked_add(1) {
            Some(span) => low + self.below(span),
            None => self.next_u64(),
        }
    }

    /// True `numerator` times out of `denominator`.
    #[inline]
    pub fn ratio(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    #[inline]
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// An index, as likely as its weight; `None` when all weights are zero.
    pub fn weighted(&mut self, weights: &[u64]) -> Option<usize> {
        let total: u64 = weights.iter().sum();
        if total == 0 {
            return None;
        }
        let mut left = self.below(total);
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return Some(index);
            }
            left -= weight;
        }
        unreachable!("the draw is below the sum of the weights")
    }

    /// As [`Rng::weighted`], from weights that are drawn from many times.
    #[inline]
    pub fn weighed<const N: usize>(&mut self, weights: &Weights<N>) -> Option<usize> {
        let total = weights.sums[N - 1];
        if total == 0 {
            return None;
        }
        let drawn = self.below(total);
        // All of them are counted, without a branch that would be guessed wrong as often as not.
        Some(weights.sums.iter().filter(|sum| **sum <= drawn).count())
    }

    /// Fisher and Yates, from the end.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_number_or_any_word() {
        assert_eq!(Seed::parse("67890"), Ok((Seed(67890), SeedSource::Number)));
        assert_eq!(Seed::parse("0"), Ok((Seed(0), SeedSource::Number)));
        assert_eq!(Seed::parse("18446744073709551615"), Ok((Seed(u64::MAX), SeedSource::Number)));
        let (seed, source) = Seed::parse("2026-11-21").expect("a date is a word");
        assert_eq!(source, SeedSource::Hashed("2026-11-21".into()));
        assert_eq!(seed, Seed::parse("2026-11-21").expect("the same word").0);
        assert!(matches!(Seed::parse("18446744073709551616"), Err(SeedError::TooLarge(_))));
        assert!(matches!(Seed::parse("67890:1f"), Err(SeedError::Colon(_))));
        assert_eq!(Seed::parse(""), Err(SeedError::Empty));
    }

    #[test]
    fn words_never_change() {
        // Golden: a change here changes the meaning of every seed, and with it GENERATOR.
        let mut rng = Entropy::root(Seed(67890)).child("golden").rng();
        let drawn: Vec<u64> = (0..4).map(|_| rng.below(1_000_000)).collect();
        assert_eq!(drawn, GOLDEN);
    }
    const GOLDEN: [u64; 4] = [559_003, 509_258, 431_466, 208_459];

    #[test]
    fn a_root_is_the_derived_key() {
        for seed in [0, 1, u64::MAX] {
            let derived = blake3::derive_key("seedfault 2026 root", &u64::to_le_bytes(seed));
            assert!(Entropy::root(Seed(seed)).key == derived);
        }
    }

    #[test]
    fn siblings_are_independent() {
        let root = Entropy::root(Seed(1));
        assert_ne!(root.child("a").rng().next_u64(), root.child("b").rng().next_u64());
        assert_ne!(root.nth(1).word("x", 0, 0), root.nth(1).word("x", 0, 1));
    }

    #[test]
    fn weights_in_sums_draw_as_weights() {
        for weights in [[0, 3, 0, 1, 7, 0], [5, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]] {
            let (mut one, sums) = (Entropy::root(Seed(4)).rng(), Weights::new(&weights));
            let mut other = one.clone();
            for _ in 0..100 {
                assert_eq!(one.weighted(&weights), other.weighed(&sums));
            }
        }
    }

    #[test]
    fn below_is_even() {
        let mut rng = Entropy::root(Seed(3)).rng();
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|n| (9_500..10_500).contains(n)), "{counts:?}");
    }
}
