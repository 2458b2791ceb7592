//! What tests of pages ask: which elements a page has.

/// The names of all tags with those of their attributes, in order: what a text from outside must not change.
pub(super) fn tags(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let mut tag = String::new();
        let (mut quoted, mut value) = (false, false);
        for sign in rest.chars() {
            match sign {
                '"' => quoted = !quoted,
                _ if quoted => {}
                '>' => break,
                '=' => value = true,
                ' ' => {
                    value = false;
                    tag.push(' ');
                }
                _ if value => {}
                _ => tag.push(sign),
            }
        }
        let is_script = tag == "script";
        found.push(tag);
        // Its text is no markup.
        if is_script {
            rest = &rest[rest.find("</script").unwrap_or(rest.len())..];
        }
    }
    found
}

#[test]
fn a_tag_is_its_name_and_its_attributes() {
    assert_eq!(tags("<a href=\"x>y\" id=\"z\">b &lt; c</a>"), ["a href id", "/a"]);
    assert_eq!(tags("<script>if(a<b)c</script><p>"), ["script", "/script", "p"]);
}
