//! What a file's writes have changed since it was last synced, so that it can be taken back.
//!
//! A change knows what stood in its place. A loss of power keeps the first bytes of what was written, in the order in
//! which it was written, and takes the rest back from the end: of a file that was appended to that is a cut at its end,
//! of one that was written in place its old content, in whole blocks. A size that was set (`ftruncate`, `fallocate`) is durable at once, as
//! names are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// So much old content is kept of one file. Beyond it all of it counts as written back, as a kernel that needs its memory
/// does it.
const HELD_MAX: usize = 64 << 20;
/// What a disk writes whole or not at all: of what is overwritten a block is old or new, with what it grew by.
const BLOCK: u64 = 4096;

#[derive(Debug)]
struct Change {
    at: u64,
    length: u64,
    /// What stood there, up to the end of the file.
    old: Vec<u8>,
    /// The size of the file before.
    size: u64,
    /// It was in the file when that took the place of another.
    replaced: bool,
}

#[derive(Debug, Default)]
pub struct Journal {
    changes: Vec<Change>,
    held: usize,
}

impl Journal {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// All of it is durable.
    pub fn synced(&mut self) {
        *self = Self::default();
    }

    /// The file takes the place of another.
    pub fn replaces(&mut self) {
        self.changes.iter_mut().for_each(|change| change.replaced = true);
    }

    /// Notes a write of so many bytes, before it is made, to a file of this size.
    pub fn write(&mut self, file: &File, at: u64, length: u64, size: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        let mut old = vec![0; length.min(size.saturating_sub(at)) as usize];
        file.read_exact_at(&mut old, at)?;
        self.held += old.len();
        if self.held > HELD_MAX {
            self.synced();
            return Ok(());
        }
        // What is only appended is one change, however many writes it took.
        match self.changes.last_mut() {
            Some(last)
                if at == size && last.at + last.length == at && last.old.is_empty() && !last.replaced =>
            {
                last.length += length;
            }
            _ => self.changes.push(Change { at, length, old, size, replaced: false }),
        }
        Ok(())
    }

    /// The file's size was set.
    pub fn resized(&mut self, from: u64, to: u64) {
        if to < from {
            self.changes.retain(|change| change.at < to);
        }
        for change in &mut self.changes {
            if to < from {
                change.size = change.size.min(to);
                change.length = change.length.min(to - change.at);
                change.old.truncate(change.length as usize);
            } else if to > from {
                change.size = change.size.max(to);
            }
        }
        self.held = self.changes.iter().map(|change| change.old.len()).sum();
    }

    /// Takes back what a loss of power takes. `flushed`: not what was there when the file took the place of another.
    /// `word` decides how much of the rest was written out by itself. Answers the bytes that are lost.
    pub fn lose(&mut self, file: &File, flushed: bool, word: u64) -> io::Result<u64> {
        let changes = std::mem::take(self).changes;
        let loose = || changes.iter().filter(|change| !(flushed && change.replaced));
        let written: u64 = loose().map(|change| change.length).sum();
        let keep = word % (written + 1);
        let (mut end, mut lost) = (written, 0);
        for change in loose().rev() {
            let begin = end - change.length;
            if keep < end {
                lost += change.take_back(file, keep.saturating_sub(begin))?;
            }
            end = begin;
        }
        Ok(lost)
    }
}

impl Change {
    /// Takes back all but the first bytes. Answers how many.
    fn take_back(&self, file: &File, kept: u64) -> io::Result<u64> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        let in_place = !self.old.is_empty() && kept < self.length;
        let kept = if in_place { ((self.at + kept) / BLOCK * BLOCK).saturating_sub(self.at) } else { kept };
        let old = self.old.get(kept as usize..).unwrap_or_default();
        file.write_all_at(old, self.at + kept)?;
        let size = if kept == 0 { self.size } else { self.size.max(self.at + kept) };
        // What lay beyond the old end lies beyond the file again, or in a hole.
        let (mut at, end) = (self.at + kept.max(self.old.len() as u64), size.min(self.at + self.length));
        while at < end {
            let count = (end - at).min(ZEROS.len() as u64);
            file.write_all_at(&ZEROS[..count as usize], at)?;
            at += count;
        }
        if file.metadata()?.len() > size {
            file.set_len(size)?;
        }
        Ok(self.length - kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    /// A file whose changes are noted.
    struct Noted {
        path: PathBuf,
        file: File,
        journal: Journal,
    }

    impl Noted {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("seedfault-journal-{name}-{}", std::process::id()));
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
            Self { file: file.expect("writable"), path, journal: Journal::default() }
        }

        fn write(&mut self, at: u64, bytes: &str) {
            let size = self.file.metadata().expect("open").len();
            self.journal.write(&self.file, at, bytes.len() as u64, size).expect("readable");
            self.file.write_all_at(bytes.as_bytes(), at).expect("writable");
        }

        fn resize(&mut self, to: u64) {
            let from = self.file.metadata().expect("open").len();
            self.file.set_len(to).expect("writable");
            self.journal.resized(from, to);
        }

        /// What is left, and how much is lost.
        fn lose(&mut self, flushed: bool, word: u64) -> (String, u64) {
            let lost = self.journal.lose(&self.file, flushed, word).expect("writable");
            (String::from_utf8(fs::read(&self.path).expect("readable")).expect("text"), lost)
        }
    }

    impl Drop for Noted {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.path);
        }
    }

    #[test]
    fn what_was_appended_is_cut_where_the_word_says_and_what_was_synced_stays() {
        for (keep, left) in [(0, "one"), (2, "oneTW"), (4, "oneTWOt"), (8, "oneTWOthree")] {
            let mut noted = Noted::new(&format!("append-{keep}"));
            noted.write(0, "one");
            noted.journal.synced();
            noted.write(3, "TWO");
            noted.write(6, "three");
            assert_eq!(noted.journal.changes.len(), 1);
            assert_eq!(noted.lose(true, keep), (left.into(), 8 - keep));
            assert!(noted.journal.is_empty());
        }
    }

    #[test]
    fn what_was_written_in_place_is_as_it_was_block_by_block_from_the_last_write_backwards() {
        let (old, new) = ("o".repeat(3 * BLOCK as usize), "n".repeat(2 * BLOCK as usize));
        for (keep, left) in [(0, 0), (BLOCK - 11, 0), (BLOCK, BLOCK - 10), (2 * BLOCK, 2 * BLOCK)] {
            let mut noted = Noted::new(&format!("over-{keep}"));
            noted.write(0, &old);
            noted.journal.synced();
            noted.write(10, &new);
            let (content, _) = noted.lose(true, keep);
            assert_eq!((content.len(), content.matches('n').count()), (old.len(), left as usize), "{keep}");
        }
        // A block that is overwritten and grows is one still.
        let mut noted = Noted::new("grows");
        noted.write(0, "abcdef");
        noted.journal.synced();
        noted.write(4, "XYZW");
        assert_eq!(noted.lose(true, 3), ("abcdef".into(), 4));
        // Two that overlap, and one that reaches beyond the end.
        let mut noted = Noted::new("overlap");
        noted.write(0, "abcdef");
        noted.journal.synced();
        noted.write(1, "BC");
        noted.write(2, "xyz");
        noted.write(5, "long");
        assert_eq!(noted.lose(true, 2), ("aBCdef".into(), 7));
    }

    #[test]
    fn what_took_the_place_of_another_file_is_durable_or_not() {
        for (flushed, left) in [(true, "new"), (false, "")] {
            let mut noted = Noted::new(&format!("replace-{flushed}"));
            noted.write(0, "new");
            noted.journal.replaces();
            noted.write(3, "more");
            assert_eq!(noted.lose(flushed, 0).0, left);
        }
    }

    #[test]
    fn a_size_that_was_set_is_durable_and_holds_no_data_that_is_lost() {
        let mut noted = Noted::new("grown");
        noted.write(0, "lost");
        noted.resize(6);
        assert_eq!(noted.lose(true, 0), ("\0\0\0\0\0\0".into(), 4));
        noted.write(0, "abcdef");
        noted.journal.synced();
        noted.write(2, "XXXXXX");
        noted.resize(3);
        assert_eq!(noted.lose(true, 0), ("abc".into(), 1));
    }

    #[test]
    fn a_write_past_the_end_leaves_no_hole_behind() {
        let mut noted = Noted::new("hole");
        noted.write(0, "ab");
        noted.journal.synced();
        noted.write(4, "ef");
        assert_eq!(noted.lose(true, 0).0, "ab");
        noted.write(4, "ef");
        assert_eq!(noted.lose(true, 1).0, "ab\0\0e");
    }

    #[test]
    fn old_content_beyond_a_bound_counts_as_written_back() {
        let mut noted = Noted::new("bound");
        let all = "x".repeat(HELD_MAX / 2 + 1);
        noted.write(0, &all);
        noted.journal.synced();
        noted.write(0, &all);
        assert!(!noted.journal.is_empty());
        noted.write(0, &all);
        assert!(noted.journal.is_empty());
    }
}
