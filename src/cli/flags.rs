//! The flags that several subcommands share.

use super::console::Console;
use crate::report::visible::acts;
use crate::spec::forms::targets;
use clap::builder::PossibleValuesParser;
use std::path::{Path, PathBuf};

/// Where a timeline runs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Where {
    /// The system under test (`fuzz list targets`); valkey when a server binary is found, else embedded
    #[arg(long, value_name = "T", value_parser = PossibleValuesParser::new(targets()))]
    pub target: Option<String>,
    /// Where its nodes live (`fuzz list environments`); the target's own when absent
    #[arg(long = "env", value_name = "E", value_parser = ["sim", "exact", "processes", "live"])]
    pub environment: Option<String>,
    /// The server to test, a path or a name on PATH; any executable will do, a wrapper script too
    #[arg(long, value_name = "PATH")]
    pub server_binary: Option<PathBuf>,
}

/// What the scenario leaves to the seed and the user wants to decide.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Shape {
    /// Primaries with slots, 1 to 16
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub shards: Option<u16>,
    /// Replicas of each primary, 0 to 5
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=5))]
    pub replicas: Option<u16>,
    /// Switch a named bug on in the embedded target (`fuzz list bugs`); may be given several times
    #[arg(long = "bug", value_name = "NAME")]
    pub bugs: Vec<String>,
    /// Draw only these operations and faults (`fuzz list faults`), separated by commas: `kill,failover`
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub include: Vec<String>,
    /// Draw none of these operations and faults: `power_loss,clock_skew`
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Warn of keys that are not known in a file of valkey-fuzzer's, instead of refusing it
    #[arg(long)]
    pub allow_unknown_keys: bool,
}

/// A length of time as the scenario language writes it, or in days.
pub fn time(text: &str) -> Result<std::time::Duration, String> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
        return Ok(std::time::Duration::from_secs(u64::from(days) * 86_400));
    }
    crate::time::Millis::parse(text).map(|time| std::time::Duration::from_millis(time.0))
}

/// Where the outcome goes.
#[derive(Clone, Debug, clap::Args)]
pub struct Output {
    /// The run folder; `runs/<time>-<seed>` when absent
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print a report, or the event stream with one JSON object per line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write the verdicts as `JUnit` XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the verdicts in the form of valkey-fuzzer's result file: YAML if FILE ends so, else JSON
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the outcome alone: one line, and the command that brings a failure back
    #[arg(long, short)]
    pub quiet: bool,
    /// Tell every step of the timeline and every check's claim, source and evidence
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Leave the nodes' data in the run folder
    #[arg(long)]
    pub keep_data: bool,
    /// Write all that nodes and clients send one another into the run folder, `traffic.pcap` or, with --env live,
    /// `traffic.pcapng`
    #[arg(long)]
    pub pcap: bool,
    /// Show the run as it goes on to a browser on this machine, at an address that is printed
    #[arg(long)]
    pub serve: bool,
}

impl Output {
    /// Of a run of which nothing is told, in this folder.
    pub fn quiet(out: PathBuf) -> Self {
        Self {
            out: Some(out),
            format: Format::Text,
            junit: None,
            output: None,
            quiet: true,
            verbose: false,
            keep_data: false,
            pcap: false,
            serve: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
}

impl Output {
    pub fn console(&self) -> Console {
        Console::new(self.format, self.quiet, self.verbose)
    }
}

/// The flags that pin target, environment and server, for a reproduction command.
pub fn where_spelled(target: &str, environment: &str, server: Option<&Path>) -> String {
    let mut text = format!(" --target {target} --env {environment}");
    if let Some(server) = server {
        text += " --server-binary ";
        text += &shell(&server.to_string_lossy());
    }
    text
}

impl Shape {
    pub fn spelled(&self) -> String {
        let mut text = String::new();
        for (flag, value) in [("--shards", self.shards), ("--replicas", self.replicas)] {
            if let Some(value) = value {
                text += &format!(" {flag} {value}");
            }
        }
        for bug in &self.bugs {
            text += " --bug ";
            text += &shell(bug);
        }
        for (flag, names) in [("--include", &self.include), ("--exclude", &self.exclude)] {
            if !names.is_empty() {
                text += &format!(" {flag} {}", shell(&names.join(",")));
            }
        }
        if self.allow_unknown_keys {
            text += " --allow-unknown-keys";
        }
        text
    }
}

/// The command line of this process, as it can be typed again.
pub fn typed() -> String {
    std::env::args_os().skip(1).fold("fuzz".into(), |text, word| text + " " + &flag(&word.to_string_lossy()))
}

/// As [`shell`], where a word may be a flag.
fn flag(word: &str) -> String {
    let name = word.trim_start_matches('-');
    if name.is_empty() { word.into() } else { format!("{}{}", &word[..word.len() - name.len()], shell(name)) }
}

/// A word as a shell takes it for one.
pub fn shell(word: &str) -> String {
    if word.contains(acts) {
        return shell_by_number(word);
    }
    let plain = !word.is_empty()
        && !word.starts_with('-')
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:,+@%=".contains(&b));
    if plain { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// `$'...'`, which every shell of POSIX 2024 knows: what would not be seen on a terminal stands there by number.
fn shell_by_number(word: &str) -> String {
    let mut out = String::from("$'");
    for sign in word.chars() {
        match sign {
            '\'' | '\\' => out.extend(['\\', sign]),
            _ if acts(sign) => {
                let mut bytes = [0; 4];
                sign.encode_utf8(&mut bytes).bytes().for_each(|byte| out += &format!("\\{byte:03o}"));
            }
            _ => out.push(sign),
        }
    }
    out + "'"
}

#[cfg(test)]
mod tests {
    use super::{flag, shell};

    #[test]
    fn a_path_with_anything_in_it_can_be_pasted() {
        assert_eq!(shell("repro/a-b_1.yaml"), "repro/a-b_1.yaml");
        assert_eq!(shell("a b"), "'a b'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell(""), "''");
        assert_eq!(shell("$(rm)"), "'$(rm)'");
        assert_eq!([flag("--spec"), flag("--seed=a b"), flag("-")], ["--spec", "--'seed=a b'", "-"]);
        assert_eq!(shell("\u{1b}[1m\nit's \u{9b}"), r"$'\033[1m\012it\'s \302\233'");
    }
}
