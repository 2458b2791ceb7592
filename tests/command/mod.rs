//! The built binary as people and scripts start it, in a folder of its own for each test.

#![allow(dead_code, reason = "no test binary uses all of it")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A scenario in which nothing happens.
pub const QUIET: &str = "fuzz: 1
name: nothing happens
target: embedded
cluster: {shards: 3, replicas: 1}
length: 2s
timeline: []
";

/// A folder of its own for each test, in which the tool is started.
pub struct Place {
    pub path: PathBuf,
}

pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the target folder can be written");
        Self { path }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fuzz"));
        command.args(arguments).current_dir(&self.path).env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    pub fn fuzz(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().expect("the binary starts"))
    }

    pub fn fuzz_reading(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        said(child.wait_with_output().expect("it ends"))
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path.join(name), text).expect("the folder can be written");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left of a failed test may be looked at.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

pub fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Said {
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "--- out\n{}\n--- err\n{}", self.out, self.err);
        self
    }
    #[track_caller]
    pub fn complains(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "`{text}` is not in:\n{}", self.err);
        self
    }
    #[track_caller]
    pub fn prints(&self, text: &str) -> &Self {
        assert!(self.out.contains(text), "`{text}` is not in:\n{}", self.out);
        self
    }
    pub fn last_line(&self) -> &str {
        self.out.lines().last().unwrap_or("")
    }
}
