//! What is lost with the power, and bits that flip, as the program and its folder tell.

use super::lab::{Lab, exited, told};
use super::machine::{try_write, works};
use super::rows::{Measured, Row, expect, seen};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A file that nobody syncs.
const LOOSE: &str = "loose";
const LOOSE_BYTES: usize = 100_000;

/// What the executor says that was lost.
fn taken(steps: &[String]) -> Result<String, String> {
    let said = steps.iter().find(|step| step.contains("not synced")).ok_or_else(|| format!("{steps:?}"))?;
    Ok(said.split(" of node-0").next().unwrap_or_default().to_string())
}

pub fn loss(lab: &mut Lab, row: &Row) -> Measured {
    lab.put(b"acknowledged")?;
    // Where the node's own files are: what is written there is not synced by itself.
    fs::write(format!("/proc/{}/cwd/{LOOSE}", lab.bench.pid), vec![1; LOOSE_BYTES])
        .map_err(|error| error.to_string())?;
    row.strike(lab);
    let exit = lab.exit();
    let healed = lab.heal();
    lab.answers();
    let back = lab.since(healed.at);
    expect(lab.get()? == b"acknowledged", || "an acknowledged value is gone".into())?;
    let taken = taken(&healed.steps)?;
    let left = fs::metadata(format!("/proc/{}/cwd/{LOOSE}", lab.bench.pid)).map_or(0, |file| file.len());
    expect(left < LOOSE_BYTES as u64, || format!("all {left} bytes that were not synced are left"))?;
    seen(
        format!(
            "it ends by {}; of {LOOSE_BYTES} bytes beside its data that were not synced {left} are left, and \
             its acknowledged value; {taken} are lost",
            exited(exit)
        ),
        format!("it answers {} after it", told(back)),
    )
}

pub fn strike(lab: &mut Lab, row: &Row) -> Measured {
    lab.put(b"before")?;
    row.strike(lab);
    let (said, ended) = try_write(lab, b"during")?;
    expect(ended, || "it lives".into())?;
    let said = said.ok_or("the write was acknowledged")?;
    let exit = lab.exit();
    seen(format!("{said}, and it ends by {}", exited(exit)), works(lab, true)?)
}

/// The files of the node as it sees them, by path.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it is there").map(|entry| entry.expect("readable").path())
        {
            if entry.is_dir() {
                folders.push(entry);
            } else if let Ok(content) = fs::read(&entry) {
                found.insert(entry.strip_prefix(root).expect("below it").to_path_buf(), content);
            }
        }
    }
    found
}

pub fn flip(lab: &mut Lab, row: &Row) -> Measured {
    lab.put(b"before")?;
    // It may write more of it by itself.
    lab.wait(700);
    let root = PathBuf::from(format!("/proc/{}/cwd", lab.bench.pid));
    let before = files(&root);
    row.strike(lab);
    lab.heal();
    let after = files(&root);
    let bits = |name: &PathBuf| -> u32 {
        let (Some(one), Some(other)) = (before.get(name), after.get(name)) else { return 0 };
        one.iter().zip(other).map(|(one, other)| (one ^ other).count_ones()).sum()
    };
    let other: Vec<(&PathBuf, u32)> =
        before.keys().map(|name| (name, bits(name))).filter(|(_, bits)| *bits > 0).collect();
    expect(matches!(other.as_slice(), [(_, 1)]), || format!("bits that differ: {other:?}"))?;
    let name = other.first().map(|(name, _)| name.display().to_string()).unwrap_or_default();
    lab.answers();
    seen(format!("one bit of `{name}`, as the node reads it"), "it stays so; the program answers")
}
