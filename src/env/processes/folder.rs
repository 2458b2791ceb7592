//! A node's folder: its files with the placeholders filled in, and what a start finds there.

use crate::env::{EnvError, NodeId, NodeSpec, SECOND_BUS};
use crate::fault::restart::RestartData;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the server printed, and where a server that wants a log file of its own should write.
pub const LOG: &str = "server.log";
/// How each incarnation ended, a line each.
pub const EXIT: &str = "exit.txt";

/// A folder and the copy that an `older` start restores.
#[derive(Debug)]
pub struct Folder {
    pub path: PathBuf,
    copy: PathBuf,
    has_copy: bool,
}

/// Where a node is, for placeholders.
pub struct Place {
    pub dir: PathBuf,
    pub address: String,
    pub port: u16,
    pub bus_port: u16,
}

/// Fills in `{dir}`, `{address}`, `{port}`, `{bus_port}`, `{second_bus_port}`, and the same of another node as `{port:3}`. Other
/// braces are left as they are: they belong to the file's own language.
pub fn fill(text: &str, own: NodeId, place: &dyn Fn(NodeId) -> Option<Place>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        let Some(close) = rest.find('}') else { break };
        let (name, number) = match rest[1..close].split_once(':') {
            Some((name, number)) => (name, number.parse().ok().map(NodeId)),
            None => (&rest[1..close], Some(own)),
        };
        let known = matches!(name, "dir" | "address" | "port" | "bus_port" | "second_bus_port");
        let (true, Some(node)) = (known, number) else {
            filled.push('{');
            rest = &rest[1..];
            continue;
        };
        let found = place(node).ok_or_else(|| format!("`{}`: no room for {node}", &rest[..=close]))?;
        match name {
            "dir" => filled.push_str(&found.dir.to_string_lossy()),
            "address" => filled.push_str(&found.address),
            "port" => filled.push_str(&found.port.to_string()),
            "bus_port" => filled.push_str(&found.bus_port.to_string()),
            _ => {
                let port = found.bus_port.checked_add(SECOND_BUS);
                filled.push_str(&port.ok_or_else(|| format!("{node} has no second port"))?.to_string());
            }
        }
        rest = &rest[close + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

impl Folder {
    /// Makes the folder and writes the files. Paths that leave the folder are refused.
    pub fn create(nodes: &Path, node: NodeId, spec: &NodeSpec) -> Result<Self, EnvError> {
        let path = nodes.join(node.to_string());
        let failed = |what: &str, error: io::Error| EnvError::Failed {
            what: format!("writing {what} of {node}"),
            why: error.to_string(),
        };
        fs::create_dir_all(&path).map_err(|error| failed("the folder", error))?;
        for (name, text) in &spec.files {
            let inside = Path::new(name).components().all(|c| matches!(c, std::path::Component::Normal(_)));
            if !inside {
                return Err(failed(name, io::Error::other("the path leaves the node's folder")));
            }
            let file = path.join(name);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent).map_err(|error| failed(name, error))?;
            }
            fs::write(&file, text).map_err(|error| failed(name, error))?;
        }
        let copy = nodes.join(format!("{node}.older"));
        Ok(Self { path, copy, has_copy: false })
    }

    /// Puts a copy of what this node has learned into another's folder, in place of what that one has. What either was
    /// told stays its own. Answers files and bytes.
    pub fn lend(&self, own: &NodeSpec, to: &Self, other: &NodeSpec) -> io::Result<(u64, u64)> {
        to.remove(&|name| is_lost(name, RestartData::Wiped, other))?;
        copy_tree(&self.path, &to.path, &|name| is_lost(name, RestartData::Wiped, own))
    }

    /// Brings the folder into the state that a start is to find.
    pub fn prepare(&self, data: RestartData, spec: &NodeSpec) -> io::Result<()> {
        match data {
            RestartData::Kept => Ok(()),
            // Another's was put there before.
            RestartData::Foreign => self.tell(spec),
            RestartData::Empty => self.remove(&|name| is_lost(name, data, spec)),
            RestartData::Wiped => {
                self.remove(&|name| is_lost(name, data, spec))?;
                self.tell(spec)
            }
            RestartData::Older if !self.has_copy => {
                Err(io::Error::new(io::ErrorKind::NotFound, "no copy of its folder was kept"))
            }
            RestartData::Older => {
                self.remove(&|_| true)?;
                copy_tree(&self.copy, &self.path, &|_| true).map(drop)
            }
        }
    }

    /// Makes what the server is told as it was at first: some write there what they have learned.
    fn tell(&self, spec: &NodeSpec) -> io::Result<()> {
        let told = |name: &String| !spec.config_files.iter().any(|config| config == name);
        for (name, text) in spec.files.iter().filter(|(name, _)| told(name)) {
            let file = self.path.join(name);
            if fs::read(&file).ok().is_none_or(|found| found != text.as_bytes()) {
                if let Some(parent) = file.parent() {
                    fs::create_dir_all(parent)?;
                }
                fs::write(file, text)?;
            }
        }
        Ok(())
    }

    /// Removes what a start with this data would not find, under a server that may run and make new files meanwhile.
    /// Answers how many are gone.
    pub fn remove_under(&self, data: RestartData, spec: &NodeSpec) -> io::Result<usize> {
        let number = |file: &PathBuf| fs::symlink_metadata(self.path.join(file)).map(|meta| meta.ino()).ok();
        let mut files = self.files()?;
        files.retain(|file| is_lost(&file.to_string_lossy(), data, spec));
        let known: Vec<(PathBuf, Option<u64>)> =
            files.into_iter().map(|file| (file.clone(), number(&file))).collect();
        for (file, _) in &known {
            match fs::remove_file(self.path.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // One in which the server has made a file since stays.
        let _ = remove_empty_folders(&self.path);
        match known.iter().find(|(file, before)| before.is_some() && number(file) == *before) {
            Some((file, _)) => Err(io::Error::other(format!("{} is still there", file.display()))),
            None => Ok(known.len()),
        }
    }

    /// Keeps a copy for a later `older` start, in place of the last one. Answers files and bytes.
    pub fn keep_copy(&mut self) -> io::Result<(u64, u64)> {
        self.has_copy = false;
        if self.copy.exists() {
            fs::remove_dir_all(&self.copy)?;
        }
        fs::create_dir_all(&self.copy)?;
        let counts = copy_tree(&self.path, &self.copy, &|_| true)?;
        self.has_copy = true;
        Ok(counts)
    }

    /// The end of a run whose data nobody wants.
    pub fn drop_data(&self, spec: &NodeSpec) -> io::Result<()> {
        if self.copy.exists() {
            fs::remove_dir_all(&self.copy)?;
        }
        self.remove(&|name| is_data(name, spec))
    }

    /// Adds a line to what is known of how its processes ended. An exit is observed whether or not it could be
    /// written down.
    pub fn note_exit(&self, line: &str) {
        if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(self.path.join(EXIT)) {
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// The files that the server keeps there, by relative path, in order; our own left out.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = files_below(&self.path)?;
        files.retain(|file| !is_ours(&file.to_string_lossy()));
        Ok(files)
    }

    /// Removes every file whose relative path the rule names, and folders that are empty then. Our own files
    /// stay.
    fn remove(&self, rule: &dyn Fn(&str) -> bool) -> io::Result<()> {
        for file in files_below(&self.path)? {
            let name = file.to_string_lossy();
            if !is_ours(&name) && rule(&name) {
                fs::remove_file(self.path.join(&file))?;
            }
        }
        remove_empty_folders(&self.path)
    }
}

pub fn is_ours(name: &str) -> bool {
    name == LOG || name == EXIT
}

/// Whether a start with this data does not find a file.
fn is_lost(name: &str, data: RestartData, spec: &NodeSpec) -> bool {
    match data {
        RestartData::Kept | RestartData::Older | RestartData::Foreign => false,
        RestartData::Empty => is_data(name, spec),
        // What is left is what the server is told, not what it has learned.
        RestartData::Wiped => {
            !spec.files.contains_key(name) || spec.config_files.iter().any(|config| config == name)
        }
    }
}

/// Temporary files of a save that a kill interrupted count as data: a server would not read them, and "empty"
/// should be.
fn is_data(name: &str, spec: &NodeSpec) -> bool {
    spec.data_files.iter().any(|prefix| name.starts_with(prefix.as_str()))
        || Path::new(name).extension().is_some_and(|extension| extension == "rdb")
            && name.starts_with("temp-")
}

/// Relative paths of all files (not folders) in a folder, sorted.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(relative) = folders.pop() {
        for entry in fs::read_dir(folder.join(&relative))? {
            let entry = entry?;
            let path = relative.join(entry.file_name());
            if entry.file_type()?.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

fn remove_empty_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty_folders(&entry.path())?;
            if fs::read_dir(entry.path())?.next().is_none() {
                fs::remove_dir(entry.path())?;
            }
        }
    }
    Ok(())
}

/// Copies those files whose relative path the rule names, our own left out. Sockets and the like are no data.
fn copy_tree(from: &Path, to: &Path, rule: &dyn Fn(&str) -> bool) -> io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for name in files_below(from)? {
        let text = name.to_string_lossy();
        if is_ours(&text) || !rule(&text) || !fs::symlink_metadata(from.join(&name))?.is_file() {
            continue;
        }
        let target = to.join(&name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        bytes += fs::copy(from.join(&name), target)?;
        files += 1;
    }
    Ok((files, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn place(node: NodeId) -> Option<Place> {
        let port = 10_000 + node.0;
        (node.0 < 100).then(|| Place {
            dir: PathBuf::from("/run/nodes").join(node.to_string()),
            address: "127.0.0.1".into(),
            port,
            bus_port: port + 10_000,
        })
    }

    #[test]
    fn placeholders_are_filled_and_other_braces_left() {
        for (text, filled) in [
            ("port {port}", "port 10001"),
            ("{address:3}:{port:3}@{bus_port:3}", "127.0.0.1:10003@20003"),
            ("{second_bus_port:3}", "20053"),
            ("dir {dir}/x", "dir /run/nodes/node-1/x"),
            ("{\"json\": {port}}", "{\"json\": 10001}"),
            ("{unknown} {port:x} {", "{unknown} {port:x} {"),
            ("{{port}}", "{10001}"),
        ] {
            assert_eq!(fill(text, NodeId(1), &place).as_deref(), Ok(filled), "{text}");
        }
        assert!(fill("{port:200}", NodeId(1), &place).is_err());
    }

    fn spec() -> NodeSpec {
        NodeSpec {
            argv: vec!["server".into()],
            files: BTreeMap::from([
                ("server.conf".to_string(), "port 1".to_string()),
                ("nodes.conf".to_string(), "me".to_string()),
            ]),
            config_files: vec!["nodes.conf".into()],
            data_files: vec!["dump.rdb".into(), "appendonlydir".into()],
        }
    }

    fn names(folder: &Folder) -> Vec<String> {
        let files = files_below(&folder.path).expect("readable");
        files.iter().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    /// A folder as a server leaves it.
    fn used(name: &str) -> (PathBuf, Folder) {
        let nodes = std::env::temp_dir().join(format!("seedfault-folder-{name}-{}", std::process::id()));
        let folder = Folder::create(&nodes, NodeId(0), &spec()).expect("writable");
        fs::create_dir_all(folder.path.join("appendonlydir")).expect("writable");
        for name in ["dump.rdb", "appendonlydir/aof.1", "temp-77.rdb", LOG, EXIT] {
            fs::write(folder.path.join(name), "new").expect("writable");
        }
        (nodes, folder)
    }

    #[test]
    fn each_kind_of_restart_finds_what_its_name_says() {
        let table: [(RestartData, &[&str]); 3] = [
            (
                RestartData::Kept,
                &["appendonlydir/aof.1", "dump.rdb", EXIT, "nodes.conf", "server.conf", LOG, "temp-77.rdb"],
            ),
            (RestartData::Empty, &[EXIT, "nodes.conf", "server.conf", LOG]),
            (RestartData::Wiped, &[EXIT, "server.conf", LOG]),
        ];
        for (data, left) in table {
            let (nodes, folder) = used(&format!("{data:?}"));
            folder.prepare(data, &spec()).expect("writable");
            assert_eq!(names(&folder), left, "{data:?}");
            fs::remove_dir_all(nodes).expect("writable");
        }
    }

    #[test]
    fn an_older_start_finds_the_copy_and_keeps_the_log() {
        let (nodes, mut folder) = used("older");
        let missing = folder.prepare(RestartData::Older, &spec()).expect_err("there is no copy");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        fs::write(folder.path.join("dump.rdb"), "old").expect("writable");
        folder.keep_copy().expect("writable");
        for name in ["dump.rdb", "nodes.conf", LOG, "appendonlydir/aof.2"] {
            fs::write(folder.path.join(name), "newer").expect("writable");
        }
        folder.prepare(RestartData::Older, &spec()).expect("there is a copy");
        let read = |name: &str| fs::read_to_string(folder.path.join(name)).expect("readable");
        assert_eq!(
            (read("dump.rdb"), read("nodes.conf"), read(LOG)),
            ("old".into(), "me".into(), "newer".into())
        );
        assert!(!folder.path.join("appendonlydir/aof.2").exists());
        folder.drop_data(&spec()).expect("writable");
        assert_eq!(names(&folder), [EXIT, "nodes.conf", "server.conf", LOG]);
        fs::remove_dir_all(nodes).expect("writable");
    }

    #[test]
    fn a_foreign_start_finds_what_the_other_learned_and_what_it_was_told_itself() {
        let (nodes, other) = used("foreign");
        let mut own = spec();
        own.files.insert("server.conf".into(), "port 2".into());
        let folder = Folder::create(&nodes, NodeId(1), &own).expect("writable");
        // Some servers write what they have learned into what they were told.
        for (name, text) in
            [("server.conf", "rewritten"), ("dump.rdb", "own"), ("appendonlydir.x", "own"), (LOG, "mine")]
        {
            fs::write(folder.path.join(name), text).expect("writable");
        }
        let (files, _) = other.lend(&spec(), &folder, &own).expect("writable");
        folder.prepare(RestartData::Foreign, &own).expect("nothing is left to do");
        assert_eq!(files, 4);
        assert_eq!(
            names(&folder),
            ["appendonlydir/aof.1", "dump.rdb", "nodes.conf", "server.conf", LOG, "temp-77.rdb"]
        );
        let read = |name: &str| fs::read_to_string(folder.path.join(name)).expect("readable");
        assert_eq!(
            (read("server.conf"), read("dump.rdb"), read(LOG)),
            ("port 2".into(), "new".into(), "mine".into())
        );
        fs::remove_dir_all(nodes).expect("writable");
    }

    #[test]
    fn a_file_outside_the_folder_is_refused() {
        let nodes = std::env::temp_dir().join(format!("seedfault-outside-{}", std::process::id()));
        for name in ["../x", "/etc/x", "a/../../x"] {
            let files = BTreeMap::from([(name.to_string(), String::new())]);
            assert!(Folder::create(&nodes, NodeId(0), &NodeSpec { files, ..spec() }).is_err(), "{name}");
        }
        fs::remove_dir_all(nodes).expect("writable");
    }
}
