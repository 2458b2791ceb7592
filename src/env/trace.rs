//! The trace: one line per turn, and a hash over all lines. Two runs of one timeline give the same lines; the
//! first that differs names the leak.

use std::fmt::Arguments;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// Its name in a run folder.
pub const FILE: &str = "trace.txt";

#[derive(Debug)]
pub struct Trace {
    hasher: blake3::Hasher,
    file: Option<BufWriter<File>>,
    line: String,
    lines: u64,
}

impl Trace {
    /// Keeps the lines in this file, if one is named.
    pub fn new(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Self { hasher: blake3::Hasher::new(), file, line: String::new(), lines: 0 })
    }

    pub fn line(&mut self, line: Arguments<'_>) {
        use std::fmt::Write as _;
        self.line.clear();
        // Writing to a string cannot fail.
        let _ = writeln!(self.line, "{line}");
        self.hasher.update(self.line.as_bytes());
        self.lines += 1;
        if let Some(file) = &mut self.file
            && file.write_all(self.line.as_bytes()).is_err()
        {
            // The hash goes on; a file that is cut short shows where the disk was full.
            self.file = None;
        }
    }

    pub fn lines(&self) -> u64 {
        self.lines
    }

    pub fn hash(&self) -> blake3::Hash {
        self.hasher.finalize()
    }

    pub fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            // As above.
            let _ = file.flush();
        }
    }
}

/// The first line in which two traces differ, counted from 1, and what each says there.
pub fn divergence(one: &str, other: &str) -> Option<(usize, String, String)> {
    let (mut ones, mut others) = (one.lines(), other.lines());
    for number in 1.. {
        match (ones.next(), others.next()) {
            (None, None) => return None,
            (one, other) if one == other => {}
            (one, other) => {
                let text = |line: Option<&str>| line.unwrap_or("the trace has ended").to_string();
                return Some((number, text(one), text(other)));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_divergence_is_named() {
        assert_eq!(divergence("a\nb\n", "a\nb\n"), None);
        assert_eq!(divergence("a\nb\n", "a\nc\nd\n"), Some((2, "b".into(), "c".into())));
        assert_eq!(divergence("a\n", "a\nb\n"), Some((2, "the trace has ended".into(), "b".into())));
    }
}
