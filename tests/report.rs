//! The page of a run: the examples of `docs/examples` come out byte for byte, what strangers wrote stays text, an old
//! folder gives a page or a clear message, and no page is wider than its window.
//!
//! `SEEDFAULT_UPDATE=1` writes the examples anew. Each was read against its folder.

mod command;

use command::Place;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

const EXAMPLES: &[&str] = &[
    "embedded-ack-before-decided",
    "embedded-two-owners",
    "etcd-watch-progress",
    "redis-stale-offset",
    "valkey-two-primaries",
];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples")
}

/// The run folder of an example, as it was, in `to`.
fn unpack(example: &str, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(examples().join(example).join("run")).expect("an example") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("plain names");
        let bytes = fs::read(&path).expect("readable");
        match name.strip_suffix(".gz") {
            Some(name) => {
                let mut whole = Vec::new();
                flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut whole).expect("packed by gzip");
                fs::write(to.join(name), whole).expect("writable");
            }
            None => fs::write(to.join(name), bytes).expect("writable"),
        }
    }
}

fn page(place: &Place, run: &str) -> String {
    place.fuzz(&["report", run]).exits(0);
    fs::read_to_string(place.path.join(run).join("report.html")).expect("just written")
}

#[test]
fn the_examples_are_what_their_folders_give() {
    let place = Place::new("report-examples");
    for example in EXAMPLES {
        unpack(example, &place.path.join(example));
        let made = [
            ("report.html", page(&place, example)),
            ("report.md", place.fuzz(&["report", example, "--markdown"]).exits(0).out.clone()),
        ];
        for (name, made) in made {
            let kept = examples().join(example).join(name);
            if std::env::var("SEEDFAULT_UPDATE").as_deref() == Ok("1") {
                fs::write(&kept, &made).expect("writable");
            }
            let kept = fs::read_to_string(&kept).unwrap_or_default();
            assert!(kept == made, "{example}/{name} differs; SEEDFAULT_UPDATE=1 writes it anew");
        }
        let again = page(&place, example);
        assert!(again.len() < 300_000, "{example}: {} bytes", again.len());
        asks_for_nothing(&again);
    }
}

/// Every tag of a page, without the bodies of its one script and its one sheet of rules. What stands in a text or an
/// attribute holds neither `<` nor `>`.
fn tags(page: &str) -> Vec<&str> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        let end = rest[at..].find('>').expect("a tag that ends") + at;
        let tag = &rest[at + 1..end];
        tags.push(tag);
        rest = &rest[end + 1..];
        for raw in ["script", "style"] {
            if tag == raw {
                let closes = format!("</{raw}>");
                rest = &rest[rest.find(&closes).expect("it is closed")..];
            }
        }
    }
    tags
}

/// Nothing on the page is fetched, nothing acts, and one script and one sheet of rules are all there is.
fn asks_for_nothing(page: &str) {
    const FOREIGN: &[&str] = &[
        "img", "iframe", "link", "object", "embed", "base", "form", "input", "video", "audio", "image", "use",
    ];
    let tags = tags(page);
    let count = |name: &str| tags.iter().filter(|tag| tag.split(' ').next() == Some(name)).count();
    assert_eq!((count("script"), count("style")), (1, 1), "one script and one sheet of rules, ours");
    for name in FOREIGN {
        assert_eq!(count(name), 0, "<{name}> is on the page");
    }
    for tag in &tags {
        for acts in [" src=", " on", " srcset=", " xlink:", " action="] {
            assert!(!tag.split('"').step_by(2).any(|outside| outside.contains(acts)), "<{tag}>");
        }
        let link = tag.split(" href=\"").nth(1).map(|link| link.split('"').next().unwrap_or_default());
        assert!(
            link.is_none_or(|link| link.starts_with('#') || link == "shrink/smallest/report.html"),
            "<{tag}>"
        );
    }
    let rules =
        page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap_or_default();
    assert!(!rules.contains("@import") && !rules.contains("url(http"), "rules ask for something");
}

const HOSTILE: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>]]>--><!--\u{1b}[31m\u{202e}`|";

#[test]
fn what_strangers_wrote_is_text() {
    let place = Place::new("report-hostile");
    unpack("redis-stale-offset", &place.path.join("run"));
    let run = place.path.join("run");
    let hostile = serde_json::to_string(HOSTILE).expect("a string");
    let hostile = &hostile[1..hostile.len() - 1];
    for (file, words) in [
        (
            "events.jsonl",
            &[
                "Redis server v=7.0.15",
                "move_replica",
                "shard-1-primary",
                "4 clients",
                "lies on",
                "SIGKILL to",
                "exact/2",
            ][..],
        ),
        (
            "record.json",
            &[
                "c2-7",
                "connection refused",
                "Connection with master lost",
                "node-9 of shard 4",
                "\"state\":\"ok\"",
            ][..],
        ),
        ("verdict.json", &["fuzz replay"][..]),
    ] {
        let mut text = fs::read_to_string(run.join(file)).expect("unpacked");
        for word in words {
            assert!(text.contains(word), "{file} holds no `{word}`");
            let with = if word.starts_with('"') {
                format!("\"state\":\"{hostile}\"")
            } else {
                format!("{word}{hostile}")
            };
            text = text.replace(word, &with);
        }
        fs::write(run.join(file), text).expect("writable");
    }
    let hostile_page = page(&place, "run");
    assert!(hostile_page.contains("&lt;script&gt;alert(1)"), "it is there as text");
    asks_for_nothing(&hostile_page);
    assert!(!hostile_page.contains(['\u{1b}', '\u{202e}']), "nothing acts");
    let text = place.fuzz(&["report", "run", "--markdown"]).exits(0).out.clone();
    assert!(!text.contains("\n<script>") && !text.contains(" <script>alert"), "{text}");
}

#[test]
fn an_old_folder_gives_a_page_or_a_clear_message() {
    let place = Place::new("report-old");
    let run = place.path.join("run");
    unpack("embedded-two-owners", &run);

    // One that was killed: no last word, no record, half a line.
    fs::remove_file(run.join("verdict.json")).expect("there");
    fs::remove_file(run.join("record.json")).expect("there");
    let events = fs::read_to_string(run.join("events.jsonl")).expect("there");
    let half = &events[..events.len() / 2];
    fs::write(run.join("events.jsonl"), half).expect("writable");
    let killed = page(&place, "run");
    assert!(killed.contains("there is no verdict.json"), "it says what is missing");
    assert!(killed.contains("Nothing was decided"), "a killed run has not passed");

    // A record of a version that wrote it differently: half a page would be worse than none.
    fs::write(run.join("record.json"), "{\"timeline\": 3}").expect("writable");
    let refused = place.fuzz(&["report", "run"]);
    refused.exits(2).complains("record.json is not of this version");

    // Events of another format.
    fs::write(run.join("events.jsonl"), events.replace("\"event\":\"phase\"", "\"event\":\"phase_of_old\""))
        .expect("writable");
    place.fuzz(&["report", "run"]).exits(2).complains("events.jsonl:");

    place.fuzz(&["report", "nowhere"]).exits(2).complains("there is no run folder nowhere");
    place.fuzz(&["report", "run", "run", "--to", "x.html"]).exits(2).complains("--to names one file");
}

#[test]
fn two_runs_stand_side_by_side() {
    let place = Place::new("report-compare");
    for example in ["redis-stale-offset", "valkey-two-primaries"] {
        unpack(example, &place.path.join(example));
    }
    let compared = |runs: [&str; 2]| {
        place.fuzz(&["report", "--compare", runs[0], runs[1]]).exits(0).prints("compare.html\n");
        let page = fs::read_to_string(place.path.join("compare.html")).expect("just written");
        asks_for_nothing(&page);
        page
    };
    let same = compared(["redis-stale-offset", "redis-stale-offset"]);
    for words in [
        "Both failed by acknowledged_loss, data_consistency.",
        "The same timeline was run twice.",
        "Their histories are equal",
    ] {
        assert!(same.contains(words), "{words}");
    }
    assert!(!same.contains("class=\"diff\""), "nothing differs from itself");
    let other = compared(["redis-stale-offset", "valkey-two-primaries"]);
    for words in [
        "redis-stale-offset failed by acknowledged_loss, data_consistency; valkey-two-primaries failed by view_agreement.",
        "They are runs of two timelines",
        "class=\"diff\"",
    ] {
        assert!(other.contains(words), "{words}");
    }
    place
        .fuzz(&["report", "--compare", "redis-stale-offset"])
        .exits(2)
        .complains("--compare takes two runs, and there are 1");
}

/// Measured in Chromium, where there is one: a page in a frame of each width, and what sticks out of it.
#[test]
fn no_page_is_wider_than_its_window() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(chromium) =
        std::env::split_paths(&path).map(|dir| dir.join("chromium")).find(|file| file.is_file())
    else {
        println!("NOT MEASURED: there is no chromium");
        return;
    };
    let place = Place::new("report-width");
    for example in EXAMPLES {
        let html = fs::read_to_string(examples().join(example).join("report.html")).expect("kept");
        fs::write(place.path.join(format!("{example}.html")), html).expect("writable");
    }
    for example in ["redis-stale-offset", "valkey-two-primaries"] {
        unpack(example, &place.path.join(example));
    }
    place.fuzz(&["report", "--compare", "redis-stale-offset", "valkey-two-primaries"]).exits(0);
    let pages = || EXAMPLES.iter().chain(&["compare"]);
    let frames: String = pages()
        .flat_map(|example| {
            [360, 390, 768, 1440].map(|width| {
                format!("<iframe src=\"{example}.html\" width=\"{width}\" height=\"900\"></iframe>")
            })
        })
        .collect();
    let script = "onload=()=>{document.title=[...document.querySelectorAll('iframe')].map(f=>f.getAttribute('src')+' '+f.width+' '+\
                  (f.contentDocument.documentElement.scrollWidth-f.contentDocument.documentElement.clientWidth)+' '+\
                  f.contentDocument.querySelectorAll('h1').length).join(';')}";
    let wrapper = format!("<!doctype html><title>none</title>{frames}<script>{script}</script>");
    fs::write(place.path.join("frames.html"), wrapper).expect("writable");
    let out = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--allow-file-access-from-files", "--dump-dom"])
        .arg(format!("--user-data-dir={}", place.path.join("profile").display()))
        .arg(format!("file://{}", place.path.join("frames.html").display()))
        .output()
        .expect("it starts");
    let dom = String::from_utf8_lossy(&out.stdout);
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap_or("none");
    let measured: Vec<&str> = title.split(';').collect();
    assert_eq!(measured.len(), pages().count() * 4, "{title}: {}", String::from_utf8_lossy(&out.stderr));
    for one in measured {
        let words: Vec<&str> = one.split(' ').collect();
        assert!(
            words[2] == "0" && words[3] == "1",
            "{} at {} px sticks out by {} px",
            words[0],
            words[1],
            words[2]
        );
    }
}
