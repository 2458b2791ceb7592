//! The numbers that decide a generated history.

/// A stream of pseudo-random numbers, the same everywhere: splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
    /// A number below a bound that is not zero.
    pub const fn below(&mut self, bound: u32) -> u32 {
        (self.draw() % bound as u64) as u32
    }
    /// A place in something of this length, which is not empty.
    pub const fn place(&mut self, length: usize) -> usize {
        (self.draw() % length as u64) as usize
    }
    pub const fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }
}
