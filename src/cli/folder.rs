//! The run folder: made by the parent, filled by the child as the run goes, complete when `verdict.json` is there.

use super::clock;
use super::exit::{Code, Failure};
use super::input::plain;
use crate::entropy::Seed;
use crate::report::visible::on_one_line;
use crate::run::event::{FORMAT, Finished, RunEvent};
use crate::run::record::Record;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

pub const EVENTS: &str = "events.jsonl";
pub const VERDICT: &str = "verdict.json";
/// All that the checks judge.
pub const RECORD: &str = "record.json";
pub const TIMELINE: &str = "timeline.yaml";
/// What the child said on standard error: a panic's words.
pub const CHILD_LOG: &str = "run.log";
/// Where run folders are made when nobody says where.
pub const RUNS: &str = "runs";
/// Room that is kept for `verdict.json`, so that a disk that fills up does not keep the last word away.
const ROOM: usize = 64 * 1024;
/// How often another name is tried when one is taken.
const TRIES: u32 = 1000;

/// A new, empty run folder: `given`, or one below `runs`, and its name as reports show it.
#[derive(Clone, Debug)]
pub struct Folder {
    pub path: PathBuf,
    pub name: String,
    pub started_at: String,
}

impl Folder {
    pub fn make(given: Option<&Path>, seed: Seed) -> Result<Self, Failure> {
        let started_at = clock::now();
        let cannot = |path: &Path, error: &std::io::Error| {
            Failure::new(
                Code::Environment,
                format!("failed to make the run folder {}: {}", path.display(), plain(error)),
            )
            .hint("name a folder that can be written by --out DIR")
        };
        if let Some(path) = given {
            if path.is_file() {
                let message = format!("failed to make the run folder {}: that is a file", path.display());
                return Err(Failure::new(Code::Environment, message)
                    .hint("name a folder by --out DIR, one that is empty or not there yet"));
            }
            fs::create_dir_all(path).map_err(|error| cannot(path, &error))?;
            let taken = fs::read_dir(path).map_err(|error| cannot(path, &error))?.next().is_some();
            if taken {
                return Err(Failure::bad_input(format!("the folder {} is not empty", path.display()))
                    .hint("a run folder holds one run; name another by --out, or empty it"));
            }
            let name = path.display().to_string();
            return Ok(Self { path: absolute(path), name, started_at });
        }
        let stem = format!("{}-{seed}", started_at.replace(['-', ':'], ""));
        fs::create_dir_all(RUNS).map_err(|error| cannot(Path::new(RUNS), &error))?;
        for number in 1..=TRIES {
            let id = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
            let path = Path::new(RUNS).join(&id);
            match fs::create_dir(&path) {
                Ok(()) => {
                    return Ok(Self { name: path.display().to_string(), path: absolute(&path), started_at });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot(&path, &error)),
            }
        }
        Err(Failure::new(
            Code::Environment,
            format!("{TRIES} runs of this second and seed have folders already"),
        ))
    }
}

/// Takes the room for `verdict.json`, under the name under which [`write_whole`] begins the file: it gives it
/// back by writing over it.
pub fn keep_room(folder: &Path) -> std::io::Result<()> {
    let mut text = b"Room that is kept for verdict.json.".to_vec();
    text.resize(ROOM, b'\n');
    let mut file = fs::File::create(beside(&folder.join(VERDICT)))?;
    file.write_all(&text)?;
    file.sync_all()
}

/// Where a file is written before it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Writes a file as a whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = beside(path);
    let mut file = fs::File::create(&beside)?;
    // Whoever could not read the file that is replaced shall not read this one.
    if let Ok(there) = fs::metadata(path) {
        file.set_permissions(there.permissions())?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// Writes where a person said, as a whole where that can be: a link stays and what it points to is replaced; a
/// device, a pipe, and an open file under its name in `/dev` or `/proc` are written to and stay what they are.
pub fn write_where_told(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    const OPEN_FILES: &[&str] = &["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];
    let written_to = || fs::OpenOptions::new().append(true).open(path)?.write_all(bytes);
    let is_open = OPEN_FILES.iter().any(|place| path.starts_with(place));
    match fs::metadata(path) {
        Ok(there) if is_open || !there.is_file() => written_to(),
        Ok(_) => write_whole(&fs::canonicalize(path)?, bytes),
        // A link to what is not there yet.
        Err(_) if path.is_symlink() => fs::write(path, bytes),
        Err(_) => write_whole(path, bytes),
    }
}

/// Seals the run folder.
pub fn write_verdict(folder: &Path, finished: &Finished) -> std::io::Result<()> {
    let mut text = serde_json::to_vec_pretty(&RunEvent::Finished(Box::new(finished.clone())))?;
    text.push(b'\n');
    write_whole(&folder.join(VERDICT), &text)
}

/// What a run saw, from its folder.
pub fn record(folder: &Path) -> Result<Record, Failure> {
    let name = on_one_line(&folder.display().to_string()).into_owned();
    let bytes = fs::read(folder.join(RECORD)).map_err(|error| {
        Failure::bad_input(format!("{name}/record.json: {}", plain(&error)))
            .hint("it is written when a run has ended; a run that broke or was killed has none")
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::bad_input(format!("{name}/record.json is not of this version: {error}")))
}

/// What a run folder tells.
#[derive(Debug, Default)]
pub struct Recording {
    pub events: Vec<RunEvent>,
    /// What could not be read of it.
    pub remarks: Vec<String>,
}

/// Reads the events of a run, finished or killed. A last line that was cut off is no error.
pub fn read(folder: &Path) -> Result<Recording, Failure> {
    let path = folder.join(EVENTS);
    let file = fs::File::open(&path).map_err(|error| {
        let shown = folder.display();
        let message = if !folder.exists() {
            format!("there is no run folder {shown}")
        } else if !folder.is_dir() {
            format!("{shown} is a file, and a run is a folder")
        } else if error.kind() == ErrorKind::NotFound {
            format!("{shown} is no run folder: it holds no {EVENTS}")
        } else {
            format!("failed to read {}: {}", path.display(), plain(&error))
        };
        Failure::bad_input(message)
            .hint("run folders lie below `runs/`, or where --out said; each report names its own")
    })?;
    let mut recording = Recording::default();
    let mut lines = BufReader::new(file).split(b'\n').peekable();
    let mut number = 0u64;
    while let Some(line) = lines.next() {
        number += 1;
        let line =
            line.map_err(|error| Failure::bad_input(format!("{}: {}", path.display(), plain(&error))))?;
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(RunEvent::Finished(_)) if folder.join(VERDICT).exists() => {}
            Ok(event) => recording.events.push(event),
            Err(_) if lines.peek().is_none() => {
                recording.remarks.push("the last line was cut off: the run was killed while it wrote".into());
            }
            Err(error) => {
                let format = match recording.events.first() {
                    Some(RunEvent::Started { format, version, .. }) if *format != FORMAT => {
                        format!("; it was recorded by version {version}")
                    }
                    _ => String::new(),
                };
                return Err(Failure::bad_input(format!(
                    "{}:{number}: no event: {error}{format}",
                    path.display()
                )));
            }
        }
    }
    match fs::read(folder.join(VERDICT)) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(event) => recording.events.push(event),
            Err(error) => recording.remarks.push(format!("{VERDICT} cannot be read: {error}")),
        },
        Err(_) => recording.remarks.push(format!("there is no {VERDICT}: the run did not get to its end")),
    }
    Ok(recording)
}
