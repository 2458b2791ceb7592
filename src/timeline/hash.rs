//! The name of a timeline: BLAKE3 over its compact binary form.

use super::Timeline;

impl Timeline {
    /// 32 bytes that two timelines share only when they are the same.
    pub fn hash(&self) -> blake3::Hash {
        self.hash_with(&mut Vec::new())
    }

    /// As [`Timeline::hash`], with a buffer to use again. It grows to the length of the binary form; writing into a
    /// slice does without extending a vector byte by byte.
    pub fn hash_with(&self, buffer: &mut Vec<u8>) -> blake3::Hash {
        loop {
            match postcard::to_slice(self, buffer) {
                Ok(bytes) => return blake3::hash(bytes),
                Err(postcard::Error::SerializeBufferFull) => {
                    let longer = (2 * buffer.len()).max(4096);
                    buffer.resize(longer, 0);
                }
                Err(error) => panic!("a timeline is plain data: {error}"),
            }
        }
    }
}
