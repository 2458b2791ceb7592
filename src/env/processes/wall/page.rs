//! What a node's clock shows, in a page of memory that all of its processes share with the tool.
//!
//! The page is a file without a name (`memfd_create(2)`): a change is written to it, and every process of the node,
//! its forked children too, reads it with its next look at the clock. It holds 64 lines and the number of the one
//! that counts. A change writes the next line and then that number, one byte, so that nobody ever reads half of it.

use super::line::Line;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

/// What the kernel calls it in a process's table of mappings, behind `memfd:`.
pub const NAME: &str = "seedfault-wall";
pub const PAGE_BYTES: usize = 4096;
/// A line is its base, its offset and what it leans by, in per cent; they stand behind a head.
const LINE_BYTES: usize = 32;
const HEAD_BYTES: usize = 64;
const LINES: u8 = 64;

#[derive(Debug)]
pub struct Page {
    file: File,
    counts: u8,
}

impl Page {
    pub fn new() -> io::Result<Self> {
        let file = File::from(memfd_create(NAME, MFdFlags::MFD_CLOEXEC)?);
        file.set_len(PAGE_BYTES as u64)?;
        Ok(Self { file, counts: 0 })
    }

    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub fn write(&mut self, line: &Line) -> io::Result<()> {
        let next = (self.counts + 1) % LINES;
        let mut bytes = [0; LINE_BYTES];
        for (place, number) in [line.base, line.offset, i64::from(line.rate) - 100].into_iter().enumerate() {
            bytes[8 * place..][..8].copy_from_slice(&number.to_le_bytes());
        }
        self.file.write_all_at(&bytes, (HEAD_BYTES + usize::from(next) * LINE_BYTES) as u64)?;
        self.file.write_all_at(&[next], 0)?;
        self.counts = next;
        Ok(())
    }
}
