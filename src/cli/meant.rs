//! What people type before they have read the help: a seed, a file or a folder where a subcommand stands.

use super::flags::shell;
use super::folder::EVENTS;
use std::ffi::OsString;
use std::path::Path;

/// The command that was likely meant by a first word that is no subcommand.
pub fn command(arguments: &[OsString]) -> Option<String> {
    let word = arguments.first()?.to_str()?;
    let (path, shown) = (Path::new(word), shell(word));
    let scenario = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    if word.bytes().all(|b| b.is_ascii_digit()) {
        Some(format!("`fuzz --seed {word}` runs a seed"))
    } else if path.join(EVENTS).is_file() {
        Some(format!("`fuzz explain {shown}` retells a run from its folder"))
    } else if path.is_dir() {
        Some(format!("`fuzz run {shown}` runs every scenario of a folder"))
    } else if scenario || path.is_file() {
        Some(format!("`fuzz run {shown}` runs a scenario, and `fuzz replay {shown}` a saved repro"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn a_seed_a_scenario_and_a_folder_are_answered_with_their_subcommands() {
        let told = |word: &str| command(&[word.into()]).unwrap_or_default();
        assert!(told("42").starts_with("`fuzz --seed 42`"));
        assert!(told("not there.yaml").starts_with("`fuzz run 'not there.yaml'`"));
        assert!(told(env!("CARGO_MANIFEST_DIR")).contains("every scenario of a folder"));
        assert_eq!(told("frobnicate"), "");
        assert_eq!(command(&[]), None);
    }
}
