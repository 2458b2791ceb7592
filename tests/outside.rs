//! What strangers hand to the built binary and what it hands to other programs: paths that are no plain files,
//! names that would write to the terminal, commands that are pasted.

mod command;

use command::Place;
use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};

const QUIET: &str = "fuzz: 1
name: nothing happens
target: embedded
cluster: {shards: 3, replicas: 1}
length: 2s
timeline: []
";

#[test]
fn what_lies_at_the_path_of_a_result_stays_what_it_is() {
    let place = Place::new("paths");
    place.write("quiet.yaml", QUIET);
    for flag in ["--junit", "--output"] {
        let run = |path: &str| place.fuzz(&["run", "quiet.yaml", "--seed", "1", "--quiet", flag, path]);
        place.write("there", "old");
        let _ = fs::remove_file(place.path.join("link"));
        symlink("there", place.path.join("link")).expect("the folder can be written");
        run("link").exits(0);
        assert!(place.path.join("link").is_symlink(), "the link stays");
        let text = fs::read_to_string(place.path.join("there")).expect("it is there");
        assert!(text.contains("<testsuite") || text.contains('{'), "{text}");
        // A link to what is not there yet makes it.
        fs::remove_file(place.path.join("there")).expect("it is there");
        run("link").exits(0);
        assert!(place.path.join("link").is_symlink() && place.path.join("there").is_file());
        run("/dev/full").exits(3).complains("failed to write /dev/full: no space left");
        run("/dev/null").exits(0);
        for device in ["/dev/full", "/dev/null"] {
            let kind = fs::metadata(device).expect("Linux has it").file_type();
            assert!(kind.is_char_device(), "{device} is a device no more");
        }
        run("/dev/stdout").exits(0).prints("PASSED").prints(&text[text.len() - 20..]);
    }
    assert!(!place.path.join("link.part").exists() && !place.path.join("there.part").exists());
}
