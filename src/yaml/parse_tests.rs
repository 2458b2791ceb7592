use super::*;
use proptest::prelude::*;
use std::fmt::Write;

fn tree(text: &str) -> Node {
    let mut problems = Problems::default();
    let node = parse(text.as_bytes(), &mut problems);
    assert_eq!(problems.list, [], "{text}");
    node.expect("a tree")
}

fn get<'a>(node: &'a Node, name: &str) -> (&'a Key, &'a Node) {
    let Value::Map(pairs) = &node.value else { panic!("{node:?} is no mapping") };
    let pair = pairs.iter().find(|(key, _)| key.text == name).expect("the key is there");
    (&pair.0, &pair.1)
}

/// The only problem of a text: place, offending text, message with its hint.
fn problem(bytes: &[u8]) -> (String, String, String) {
    let mut problems = Problems::default();
    parse(bytes, &mut problems);
    assert_eq!(problems.list.len(), 1, "{problems:?}");
    let problem = problems.list.remove(0);
    let place = problem.span.map_or("-".into(), |span| span.to_string());
    (place, problem.offending, format!("{}; {}", problem.message, problem.hint.unwrap_or_default()))
}

#[test]
fn every_key_and_value_knows_where_it_stands() {
    let root = tree("# a comment\nname: \"über\"\ncluster:\n  shards: 3\nlist:\n- {a: 'x', b: }\n- ~\n");
    let (key, value) = get(&root, "name");
    assert_eq!(key.span, Span { line: 2, column: 1, length: 4 });
    assert_eq!(value.span, Span { line: 2, column: 7, length: 6 });
    assert_eq!(value.value, Value::Scalar { text: "über".into(), quoted: true });
    let (_, cluster) = get(&root, "cluster");
    assert_eq!(get(cluster, "shards").1.span, Span { line: 4, column: 11, length: 1 });
    assert_eq!(get(cluster, "shards").1.value, Value::Scalar { text: "3".into(), quoted: false });
    let Value::List(items) = &get(&root, "list").1.value else { panic!("a list") };
    assert_eq!(get(&items[0], "a").1.span, Span { line: 6, column: 7, length: 3 });
    assert_eq!(get(&items[0], "b").1.value, Value::Null);
    assert_eq!(items[1].value, Value::Null);
}

#[test]
fn columns_count_characters_and_a_tab_is_one() {
    let root = tree("{ü: 1,\tß: \"x\"}\n");
    assert_eq!(get(&root, "ß").0.span, Span { line: 1, column: 8, length: 1 });
    assert_eq!(get(&root, "ß").1.span, Span { line: 1, column: 11, length: 3 });
}

#[test]
fn a_byte_order_mark_of_utf8_is_accepted() {
    assert_eq!(get(&tree("\u{FEFF}a: 1\n"), "a").0.span, Span { line: 1, column: 1, length: 1 });
}

#[test]
fn windows_line_ends_are_line_ends() {
    assert_eq!(get(&tree("a: 1\r\nb: 2\r\n"), "b").1.span, Span { line: 2, column: 4, length: 1 });
}

#[test]
fn tags_say_what_is_a_string() {
    let root = tree("a: !!str 5\nb: !!int \"5\"\nc: !!map {}\n");
    assert_eq!(get(&root, "a").1.value, Value::Scalar { text: "5".into(), quoted: true });
    assert_eq!(get(&root, "b").1.value, Value::Scalar { text: "5".into(), quoted: false });
}

#[test]
fn aliases_and_merge_keys_unfold() {
    let root = tree("base: &b {x: 1, y: 2}\nsame: *b\nmore:\n  <<: *b\n  y: 3\nmany:\n  <<: [{x: 7}, *b]\n");
    assert_eq!(get(&root, "base").1.value, get(&root, "same").1.value);
    let (_, more) = get(&root, "more");
    assert_eq!((get(more, "x").1.text(), get(more, "y").1.text()), ("1", "3"));
    let (_, many) = get(&root, "many");
    assert_eq!((get(many, "x").1.text(), get(many, "y").1.text()), ("7", "2"));
}

#[test]
fn a_duplicate_key_names_the_line_of_the_first() {
    let (place, offending, message) = problem(b"a: 1\nseed: 11\nb: 2\nseed: 12\n");
    assert_eq!((place.as_str(), offending.as_str()), ("4:1", "seed"));
    assert_eq!(message, "duplicate key `seed`, first given on line 2; keep one");
}

#[test]
fn mistakes_of_the_text_are_named_with_their_place() {
    for (bytes, place, offending, words) in [
        (&b"a:\n\tb: 1\n"[..], "2:1", "\\t", "use spaces"),
        (b"scenario:\n\tname: tabbed\n  seed: 6\n", "2:1", "\\t", "tab"),
        (b"a:\n  b: 1\n\tc: 2\n", "3:1", "\\t", "tab"),
        (b"a:\n  - b: 1\n  \tc: 2\n", "3:3", "\\t", "tab"),
        (b"# \xE9\n", "1:3", "\\xE9", "not valid UTF-8: byte 0xE9 at offset 2; save the file as UTF-8"),
        (b"\xEF\xBB\xBF\xC3\xBC\xFF", "1:2", "\\xFF", "offset 5"),
        (b"\xFF\xFEa\0", "1:1", "\\xFF\\xFE", "UTF-16"),
        (b"a: 1\0\n", "1:5", "\\x00", "control character U+0000"),
        (b"a: 1\n---\nb: 2\n", "2:1", "---", "second document"),
        (b"", "1:1", "", "empty"),
        (b"# nothing\n", "1:1", "", "empty"),
        (b"---\n", "1:1", "", "empty"),
        (b"a: *b\n", "1:4", "*b", "undefined alias"),
        (b"a: &b [*b]\n", "1:8", "*b", "inside the value"),
        (b"a: !py/object x\n", "1:4", "!py/object", "tag"),
        (b"? [a]\n: b\n", "1:3", "", "key"),
        (b"<<: 3\n", "1:5", "3", "merges mappings"),
    ] {
        let (at, found, message) = problem(bytes);
        let text = String::from_utf8_lossy(bytes);
        assert_eq!((at.as_str(), found.as_str()), (place, offending), "{text:?}: {message}");
        assert!(message.contains(words), "{text:?}: {message}");
    }
}

#[test]
fn an_unclosed_quote_is_told_in_the_words_of_the_parser() {
    let (_, _, message) = problem(b"a: 1\nb: \"open\nc: 2\n");
    assert!(message.starts_with("not valid YAML: "), "{message}");
}

#[test]
fn limits_hold() {
    let long = vec![b'#'; SIZE_MAX + 1];
    assert!(problem(&long).2.contains("1 MiB"));
    assert!(problem(format!("[{}]", "x,".repeat(NODES_MAX)).as_bytes()).2.contains("10000 items"));
    let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 2), "]".repeat(DEPTH_MAX + 2));
    problem(deep.as_bytes());
    tree(&format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)));
}

#[test]
fn a_bomb_of_aliases_is_refused_by_name() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let below = format!("*a{}", level - 1);
        writeln!(bomb, "a{level}: &a{level} [{}]", vec![below; 10].join(", ")).expect("a string");
    }
    let (place, offending, message) = problem(bomb.as_bytes());
    assert!(message.contains("10000 items") && message.contains(&offending), "{place} {message}");
    let text = format!("a: &a {}\nb: [{}]\n", "y".repeat(100_000), "*a, ".repeat(9000));
    assert!(problem(text.as_bytes()).2.contains("bytes of text"));
}

const PIECES: &[&str] = &[
    "a",
    "b: ",
    "- ",
    "\n",
    "  ",
    "\t",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ": ",
    "&x ",
    "*x",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "#",
    "!!str ",
    "!x ",
    "---\n",
    "...\n",
    "? ",
    "<<: ",
    "~",
    "%YAML 1.2\n",
    "\u{FEFF}",
    "é",
    "\r",
    "\\",
    "\0",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut problems = Problems::default();
        let node = parse(&bytes, &mut problems);
        prop_assert!(node.is_some() || problems.has_errors());
    }

    #[test]
    fn any_text_of_yaml_pieces_is_read_or_refused(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60),
    ) {
        let text = pieces.concat();
        let mut problems = Problems::default();
        let node = parse(text.as_bytes(), &mut problems);
        prop_assert!(node.is_some() || problems.has_errors(), "{text:?}");
        let count = lines(&text).count() as u32;
        for problem in &problems.list {
            if let Some(span) = problem.span {
                prop_assert!(span.line >= 1 && span.line <= count + 1 && span.column >= 1, "{text:?} {problem:?}");
            }
        }
    }
}
