//! One bit of one file of a node.

use super::folder::Folder;
use crate::fault::bit_flip::Flip;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

/// Flips it, and answers which it was. What is told of the byte after was read back.
pub fn flip(folder: &Folder, flip: &Flip) -> io::Result<String> {
    let failed = |why: String| io::Error::other(why);
    let names: Vec<String> = folder.files()?.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    // What a symbolic link leads to may lie elsewhere.
    let is_file = |name: &&String| {
        fs::symlink_metadata(folder.path.join(name)).is_ok_and(|meta| meta.is_file() && meta.len() > 0)
    };
    let matching: Vec<&String> =
        names.iter().filter(|name| flip.file.matches(name)).filter(is_file).collect();
    let [which, place, bit] = flip.words;
    let Some(name) = matching.get(which.checked_rem(matching.len() as u64).unwrap_or(0) as usize) else {
        let there = if names.is_empty() { "no file".into() } else { names.join(", ") };
        return Err(failed(format!("no file with content matches `{}`; there is {there}", flip.file)));
    };
    let path = folder.path.join(name);
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    let length = file.metadata()?.len();
    let offset = match flip.offset {
        None => Some(place % length.max(1)),
        Some(offset) if flip.from_end => length.checked_sub(1).and_then(|last| last.checked_sub(offset)),
        Some(offset) => Some(offset),
    };
    let offset = offset
        .filter(|offset| *offset < length)
        .ok_or_else(|| failed(format!("{name} has only {length} bytes")))?;
    let bit = flip.bit.unwrap_or((bit % 8) as u8);
    let read = || -> io::Result<u8> {
        let mut byte = [0];
        OpenOptions::new().read(true).open(&path)?.read_exact_at(&mut byte, offset)?;
        Ok(byte[0])
    };
    let before = read()?;
    let wanted = before ^ 1 << bit;
    file.write_all_at(&[wanted], offset)?;
    let after = read()?;
    if after != wanted {
        return Err(failed(format!("byte {offset} of {name} is {after:#04x}, not {wanted:#04x}")));
    }
    Ok(format!("bit {bit} of byte {offset} of {length} of {name}: {before:#04x} is {after:#04x} now"))
}
