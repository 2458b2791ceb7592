//! The name of a timeline: BLAKE3 over its compact binary form.

use super::Timeline;

impl Timeline {
    /// 32 bytes that two timelines share only when they are the same.
    pub fn hash(&self) -> blake3::Hash {
        let mut buffer = Vec::with_capacity(1024);
        self.hash_with(&mut buffer)
    }

    /// As [`Timeline::hash`], with a buffer to use again.
    pub fn hash_with(&self, buffer: &mut Vec<u8>) -> blake3::Hash {
        buffer.clear();
        let bytes = postcard::to_extend(self, std::mem::take(buffer)).expect("a timeline is plain data");
        let hash = blake3::hash(&bytes);
        *buffer = bytes;
        hash
    }
}
