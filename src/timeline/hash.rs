//! The name of a timeline: BLAKE3 over its compact binary form.

use super::Timeline;
use postcard::ser_flavors::Flavor;

impl Timeline {
    /// 32 bytes that two timelines share only when they are the same.
    pub fn hash(&self) -> blake3::Hash {
        self.hash_with(&mut Vec::new())
    }

    /// As [`Timeline::hash`], with a buffer to use again. It grows to the length of the binary form; writing into a
    /// slice does without extending a vector byte by byte.
    pub fn hash_with(&self, buffer: &mut Vec<u8>) -> blake3::Hash {
        loop {
            match postcard::serialize_with_flavor(self, Bytes { buffer: &mut *buffer, length: 0 }) {
                Ok(length) => return blake3::hash(&buffer[..length]),
                Err(postcard::Error::SerializeBufferFull) => {
                    let longer = (2 * buffer.len()).max(4096);
                    buffer.resize(longer, 0);
                }
                Err(error) => panic!("a timeline is plain data: {error}"),
            }
        }
    }
}

/// A buffer that knows that most of what is written to it is a number of one to three bytes: `postcard`'s own calls
/// `memcpy` for each, which took a tenth of the time of drawing and hashing.
struct Bytes<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl Flavor for Bytes<'_> {
    type Output = usize;

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        let room = self.buffer.get_mut(self.length..).and_then(|rest| rest.get_mut(..data.len()));
        let room = room.ok_or(postcard::Error::SerializeBufferFull)?;
        // A copy of a length that the compiler knows is a move.
        match data.len() {
            1 => room[0] = data[0],
            2 => room[..2].copy_from_slice(&data[..2]),
            3 => room[..3].copy_from_slice(&data[..3]),
            _ => room.copy_from_slice(data),
        }
        self.length += data.len();
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        let place = self.buffer.get_mut(self.length).ok_or(postcard::Error::SerializeBufferFull)?;
        *place = byte;
        self.length += 1;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.length)
    }
}

#[cfg(test)]
mod tests {
    use crate::entropy::Seed;
    use crate::env::PROCESSES;
    use crate::spec::{Dialect, Spec};
    use crate::timeline::generate;

    #[test]
    fn the_binary_form_is_that_of_postcard() {
        let timeline = generate(&Spec::quiet(Dialect::Native), Seed(300), "valkey", &PROCESSES)
            .expect("nothing is drawn");
        let plain = postcard::to_stdvec(&timeline).expect("a timeline is plain data");
        assert_eq!(timeline.hash(), blake3::hash(&plain));
        // Whatever the buffer held, and however short it was.
        for length in [0, 1, plain.len() - 1, plain.len()] {
            assert_eq!(timeline.hash_with(&mut vec![7; length]), blake3::hash(&plain));
        }
    }
}
