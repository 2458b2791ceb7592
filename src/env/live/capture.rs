//! All that crosses the switch, as a capture that Wireshark and tcpdump open (`pcapng`, draft-ietf-opsawg-pcapng).
//!
//! A packet stands in it when the switch gives it to a device, so that what a fault has swallowed is not there and what
//! it has changed is as it arrives. A change of a link's rule is a comment on the packet after it. Packets are as the
//! kernels gave them: up to 64 KiB as one where no rule lies on the link, with the checksum left to hardware that there
//! is none of. What IPv4 is not is left out.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// Its name in a run folder.
pub const FILE: &str = "traffic.pcapng";

const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
/// Packets begin with an IP header.
const LINKTYPE_RAW: u32 = 101;
const COMMENT: u16 = 1;
/// Options end with this.
const END: u32 = 0;
/// Any length.
const UNKNOWN: u64 = u64::MAX;

#[derive(Debug)]
pub struct Capture {
    /// Gone once it could not be written: a file that is cut short shows where the disk was full.
    file: Option<BufWriter<File>>,
    comments: Vec<String>,
    body: Vec<u8>,
}

impl Capture {
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut capture =
            Self { file: Some(BufWriter::new(File::create(path)?)), comments: Vec::new(), body: Vec::new() };
        capture.body.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        // Version 1.0.
        capture.body.extend_from_slice(&1u32.to_le_bytes());
        capture.body.extend_from_slice(&UNKNOWN.to_le_bytes());
        capture.block(SECTION);
        // The longest packet: no bound.
        for word in [LINKTYPE_RAW, 0] {
            capture.body.extend_from_slice(&word.to_le_bytes());
        }
        capture.block(INTERFACE);
        Ok(capture)
    }

    /// Stands at the next packet.
    pub fn comment(&mut self, text: String) {
        self.comments.push(text);
    }

    /// A packet crosses, so long after the epoch.
    pub fn packet(&mut self, at: Duration, bytes: &[u8]) {
        let micros = at.as_micros() as u64;
        let length = bytes.len() as u32;
        for word in [0, (micros >> 32) as u32, micros as u32, length, length] {
            self.body.extend_from_slice(&word.to_le_bytes());
        }
        self.body.extend_from_slice(bytes);
        self.pad();
        if !self.comments.is_empty() {
            for text in std::mem::take(&mut self.comments) {
                // A comment's length has 16 bits.
                let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
                self.body.extend_from_slice(&COMMENT.to_le_bytes());
                self.body.extend_from_slice(&(text.len() as u16).to_le_bytes());
                self.body.extend_from_slice(text);
                self.pad();
            }
            self.body.extend_from_slice(&END.to_le_bytes());
        }
        self.block(PACKET);
    }

    fn pad(&mut self) {
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }

    /// Writes what was put together: its kind, its length, itself, its length.
    fn block(&mut self, kind: u32) {
        let length = (self.body.len() as u32 + 12).to_le_bytes();
        if let Some(file) = &mut self.file {
            let parts = [&kind.to_le_bytes()[..], &length, &self.body, &length];
            if parts.into_iter().try_for_each(|part| file.write_all(part)).is_err() {
                self.file = None;
            }
        }
        self.body.clear();
    }

    /// Answers whether all of it is there.
    pub fn close(&mut self) -> bool {
        self.file.as_mut().is_some_and(|file| file.flush().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_framed_and_padded_and_comments_stand_at_the_next_packet() {
        let path = std::env::temp_dir().join(format!("seedfault-capture-{}", std::process::id()));
        let mut capture = Capture::create(&path).expect("writable");
        capture.packet(Duration::from_micros(0x1_0000_0002), &[0x45; 21]);
        capture.comment("node-0 to node-1: cut".into());
        capture.packet(Duration::from_micros(7), &[0x45; 20]);
        assert!(capture.close());
        let bytes = std::fs::read(&path).expect("written");
        std::fs::remove_file(&path).expect("ours");
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
        let mut blocks = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let length = word(at + 4) as usize;
            assert_eq!((length % 4, word(at + length - 4) as usize), (0, length), "at {at}");
            blocks.push((word(at), at, length));
            at += length;
        }
        let kinds: Vec<u32> = blocks.iter().map(|(kind, ..)| *kind).collect();
        assert_eq!(kinds, [SECTION, INTERFACE, PACKET, PACKET]);
        let (_, first, _) = blocks[2];
        assert_eq!([word(first + 12), word(first + 16), word(first + 20)], [1, 2, 21]);
        let (_, second, length) = blocks[3];
        let text = String::from_utf8_lossy(&bytes[second..second + length]);
        assert!(text.contains("node-0 to node-1: cut"), "{text}");
    }
}
