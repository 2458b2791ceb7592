//! Colours, rules and script of every page. A page holds all of it: it asks for nothing anywhere.

/// One colour: its name in the rules, on light ground and on dark ground.
#[derive(Clone, Copy, Debug)]
pub struct Colour(pub &'static str, pub &'static str, pub &'static str);

/// Red means one thing: a claim that was broken.
pub const PALETTE: &[Colour] = &[
    Colour("paper", "#fbfbf8", "#141619"),
    Colour("card", "#ffffff", "#1b1e22"),
    Colour("wash", "#f3f3ee", "#1f2327"),
    Colour("ink", "#1c1e21", "#e9e7e2"),
    Colour("ink2", "#555b63", "#a9afb7"),
    Colour("rule", "#cfcfc7", "#3a3f46"),
    Colour("grid", "#e8e8e1", "#272b30"),
    Colour("pri", "#1f5fa8", "#6fadec"),
    Colour("onpri", "#ffffff", "#0c1420"),
    Colour("rep", "#3a76b3", "#76abe0"),
    Colour("repf", "#dfebf7", "#1c3046"),
    Colour("syn", "#9a5200", "#f0ab57"),
    Colour("synf", "#fdeed8", "#38290f"),
    Colour("synh", "#e0a552", "#a8701f"),
    Colour("down", "#767c84", "#8b929b"),
    Colour("bad", "#b3220e", "#ff8069"),
    Colour("badf", "#fbe4df", "#43201a"),
    Colour("onbad", "#ffffff", "#1d0703"),
    Colour("ok", "#00705a", "#45c4a4"),
    Colour("okf", "#dcefe9", "#143a31"),
    Colour("unk", "#74489e", "#c6a1ea"),
    Colour("unkf", "#ece3f5", "#352645"),
    Colour("hi", "#fff1a8", "#443c0d"),
    Colour("link", "#1f5fa8", "#8abdf2"),
];

const RULES: &str = include_str!("style.css");

/// Copying, shared highlights, a line with the time under the pointer, zoom, filters. A page is whole without it.
pub const SCRIPT: &str = include_str!("script.js");

/// The colours and rules; dark where the reader's system says so, light on paper.
pub fn rules() -> String {
    let colours = |value: fn(&Colour) -> &str| -> String {
        PALETTE.iter().map(|colour| format!("--{}:{};", colour.0, value(colour))).collect()
    };
    let (light, dark) = (colours(|colour| colour.1), colours(|colour| colour.2));
    format!(
        ":root{{color-scheme:light dark;{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{RULES}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance and contrast as WCAG 2.1 defines them.
    fn contrast(a: &str, b: &str) -> f64 {
        let part = |colour: &str, at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).expect("six digits")) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let luminance =
            |colour: &str| 0.2126 * part(colour, 1) + 0.7152 * part(colour, 3) + 0.0722 * part(colour, 5);
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn colour(name: &str) -> &'static Colour {
        PALETTE.iter().find(|colour| colour.0 == name).expect("a colour of the palette")
    }

    #[test]
    fn text_stands_out_from_every_ground_that_it_stands_on() {
        let grounds: &[(&str, &[&str])] = &[
            ("ink", &["paper", "card", "wash", "grid", "hi", "badf", "repf", "synf", "okf", "unkf"]),
            ("ink2", &["paper", "card", "wash", "hi", "badf"]),
            ("link", &["paper", "card", "wash", "hi"]),
            ("bad", &["paper", "card", "wash", "badf"]),
            ("ok", &["paper", "card", "wash"]),
            ("unk", &["paper", "card", "wash"]),
            ("syn", &["paper", "card", "wash", "synf"]),
            ("rep", &["card"]),
            ("onpri", &["pri"]),
            ("onbad", &["bad"]),
            ("paper", &["ink"]),
        ];
        for (text, grounds) in grounds {
            for ground in *grounds {
                for (kind, pair) in [
                    ("light", (colour(text).1, colour(ground).1)),
                    ("dark", (colour(text).2, colour(ground).2)),
                ] {
                    let found = contrast(pair.0, pair.1);
                    assert!(found >= 4.5, "{text} on {ground}, {kind}: {found:.2}");
                }
            }
        }
    }

    #[test]
    fn marks_stand_out_from_the_card() {
        for mark in ["pri", "rep", "syn", "down", "bad", "ok", "unk", "ink", "ink2"] {
            for (kind, pair) in
                [("light", (colour(mark).1, colour("card").1)), ("dark", (colour(mark).2, colour("card").2))]
            {
                let found = contrast(pair.0, pair.1);
                assert!(found >= 3.0, "{mark}, {kind}: {found:.2}");
            }
        }
    }

    #[test]
    fn the_rules_use_no_colour_but_the_palettes() {
        for (at, _) in RULES.match_indices("var(--") {
            let name = &RULES[at + 6..at + RULES[at..].find(')').expect("closed")];
            assert!(PALETTE.iter().any(|colour| colour.0 == name), "--{name} is not in the palette");
        }
        assert!(!RULES.contains("url(http") && !RULES.contains("@import"), "a page asks for nothing");
    }
}
