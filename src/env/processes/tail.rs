//! Reading a node's log as it grows: whole lines, in order, a bounded amount at a time.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Bytes read of one log at once. A server that writes faster is read with a delay, not skipped.
pub const CHUNK: usize = 256 * 1024;
/// A line longer than this is cut: no server writes one, a dump of memory may hold one.
const LINE_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    read: u64,
    /// The beginning of a line whose end is not there yet.
    partial: Vec<u8>,
}

impl Tail {
    pub fn new(path: PathBuf) -> Self {
        Self { path, read: 0, partial: Vec::new() }
    }

    /// Appends the lines that have become whole. Answers whether there may be more to read at once.
    pub fn lines(&mut self, out: &mut Vec<String>) -> io::Result<bool> {
        let length = fs::metadata(&self.path)?.len();
        if length <= self.read {
            return Ok(false);
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut chunk = vec![0; CHUNK.min((length - self.read) as usize)];
        let count = file.read(&mut chunk)?;
        self.read += count as u64;
        self.split(&chunk[..count], out);
        Ok(self.read < length)
    }

    /// The last words of a process that is gone: a line without an end is whole now.
    pub fn last_words(&mut self, out: &mut Vec<String>) {
        if !self.partial.is_empty() {
            out.push(text(&std::mem::take(&mut self.partial)));
        }
    }

    fn split(&mut self, bytes: &[u8], out: &mut Vec<String>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= LINE_MAX {
                out.push(text(&std::mem::take(&mut self.partial)));
            }
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn half_a_line_is_held_back_until_it_is_whole() {
        let path = std::env::temp_dir().join(format!("seedfault-tail-{}", std::process::id()));
        let mut file = File::create(&path).expect("writable");
        let mut tail = Tail::new(path.clone());
        let mut out = Vec::new();
        for (written, expected) in
            [("one\ntw", vec!["one"]), ("o", vec![]), ("\r\n\nend", vec!["two", ""]), ("", vec![])]
        {
            file.write_all(written.as_bytes()).expect("writable");
            out.clear();
            tail.lines(&mut out).expect("readable");
            assert_eq!(out, expected);
        }
        tail.last_words(&mut out);
        assert_eq!(out, ["end"]);
        std::fs::remove_file(path).expect("writable");
    }

    #[test]
    fn a_flood_is_read_in_bounded_pieces_and_nothing_is_skipped() {
        let path = std::env::temp_dir().join(format!("seedfault-flood-{}", std::process::id()));
        let line = "x".repeat(99) + "\n";
        std::fs::write(&path, line.repeat(10_000)).expect("writable");
        let mut tail = Tail::new(path.clone());
        let (mut out, mut turns) = (Vec::new(), 0);
        while tail.lines(&mut out).expect("readable") {
            turns += 1;
        }
        assert_eq!((out.len(), turns), (10_000, 1_000_000 / CHUNK));
        std::fs::remove_file(path).expect("writable");
    }
}
