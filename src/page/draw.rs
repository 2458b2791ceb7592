//! What drawings are made of: coordinates in tenths of a pixel, so that the same run gives the same bytes; a scale of
//! time; the width of a label.

use maud::{Markup, html};

/// Tenths of a pixel.
pub type Px = i32;

/// The column of names, and the plot beside it.
pub const NAMES: Px = 1120;
pub const PLOT: Px = 11040;

/// As SVG wants it: `12.3`, `12`.
pub fn px(tenths: Px) -> String {
    let (sign, tenths) = (if tenths < 0 { "-" } else { "" }, tenths.abs());
    if tenths % 10 == 0 {
        format!("{sign}{}", tenths / 10)
    } else {
        format!("{sign}{}.{}", tenths / 10, tenths % 10)
    }
}

/// Stretches of time (microseconds), each drawn from one place to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    pub segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub from: i64,
    pub to: i64,
    pub x0: Px,
    pub x1: Px,
}

impl Scale {
    /// One stretch over the whole plot.
    pub fn whole(from: i64, to: i64) -> Self {
        Self { segments: vec![Segment { from, to: to.max(from + 1), x0: 0, x1: PLOT }] }
    }

    pub fn from(&self) -> i64 {
        self.segments[0].from
    }

    pub fn to(&self) -> i64 {
        self.segments[self.segments.len() - 1].to
    }

    pub fn holds(&self, at: i64) -> bool {
        (self.from()..=self.to()).contains(&at)
    }

    /// Where a time is drawn; what lies outside stands at the edge.
    pub fn x(&self, at: i64) -> Px {
        let segment = self
            .segments
            .iter()
            .find(|segment| at <= segment.to)
            .unwrap_or(&self.segments[self.segments.len() - 1]);
        let at = at.clamp(segment.from, segment.to) - segment.from;
        let (length, width) = (segment.to - segment.from, i64::from(segment.x1 - segment.x0));
        segment.x0 + ((at * width + length / 2) / length) as Px
    }

    /// For the line under the pointer: milliseconds and pixels.
    pub fn data(&self) -> String {
        let part = |s: &Segment| format!("{},{},{},{}", s.from / 1000, s.to / 1000, px(s.x0), px(s.x1));
        self.segments.iter().map(part).collect::<Vec<_>>().join(";")
    }

    /// Round times, at least this far apart on the drawing, with how many decimals their seconds need.
    pub fn ticks(&self, apart: Px) -> Vec<(i64, usize)> {
        self.segments.iter().flat_map(|segment| segment_ticks(segment, apart)).collect()
    }
}

fn segment_ticks(segment: &Segment, apart: Px) -> Vec<(i64, usize)> {
    const STEPS: &[(i64, usize)] = &[
        (1_000, 3),
        (2_000, 3),
        (5_000, 3),
        (10_000, 2),
        (20_000, 2),
        (50_000, 2),
        (100_000, 1),
        (200_000, 1),
        (500_000, 1),
        (1_000_000, 0),
        (2_000_000, 0),
        (5_000_000, 0),
        (10_000_000, 0),
        (20_000_000, 0),
        (30_000_000, 0),
        (60_000_000, 0),
        (120_000_000, 0),
        (300_000_000, 0),
        (600_000_000, 0),
        (1_800_000_000, 0),
        (3_600_000_000, 0),
    ];
    let (length, width) = (segment.to - segment.from, i64::from(segment.x1 - segment.x0));
    let wide = |step: i64| i128::from(step) * i128::from(width) >= i128::from(apart) * i128::from(length);
    let (step, decimals) = STEPS.iter().find(|(step, _)| wide(*step)).unwrap_or(&STEPS[STEPS.len() - 1]);
    let first = segment.from.div_euclid(*step) * step;
    let first = if first < segment.from { first + step } else { first };
    (first..=segment.to).step_by(*step as usize).map(|at| (at, *decimals)).collect()
}

/// Grid lines of a scale from top to bottom, with the times above them.
pub fn grid(scale: &Scale, top: Px, bottom: Px) -> Markup {
    let last = scale.segments[scale.segments.len() - 1].x1;
    html! {
        @for (at, decimals) in scale.ticks(900) {
            @let x = scale.x(at);
            line x1=(px(x)) y1=(px(top)) x2=(px(x)) y2=(px(bottom)) class="gl" {}
            @let text = format!("{} s", seconds(at, decimals));
            @let half = width(&text, 11) / 2;
            @if x < half {
                text x=(px(x + 20)) y=(px(top - 50)) class="s f2" { (text) }
            } @else if x + half > last {
                text x=(px(x - 20)) y=(px(top - 50)) class="s f2" text-anchor="end" { (text) }
            } @else {
                text x=(px(x)) y=(px(top - 50)) class="s f2" text-anchor="middle" { (text) }
            }
        }
    }
}

/// Microseconds as seconds with so many decimals, which may be below nought. What is finer is cut off, as everywhere.
pub fn seconds(at_us: i64, decimals: usize) -> String {
    let step = 10i64.pow(6 - decimals.min(6) as u32);
    let rounded = at_us.abs() / step;
    let unit = 10i64.pow(decimals as u32);
    let sign = if at_us < 0 && rounded > 0 { "-" } else { "" };
    if decimals == 0 {
        return format!("{sign}{rounded}");
    }
    format!("{sign}{}.{:0width$}", rounded / unit, rounded % unit, width = decimals)
}

/// Widths of Helvetica's letters, from the blank on, in thousandths of its size (Adobe's font metrics, 1990).
const WIDTHS: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278,
    500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469,
    556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500,
    278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

/// How wide a label of this size (pixels) comes out; what is no ASCII counts as a wide letter.
pub fn width(text: &str, size: Px) -> Px {
    let letter = |c: char| {
        let place = (c as usize).checked_sub(32).and_then(|place| WIDTHS.get(place));
        Px::from(place.copied().unwrap_or(900) as i16)
    };
    text.chars().map(letter).sum::<Px>() * size / 100
}

/// As much of a label as there is room for.
pub fn fit(text: &str, size: Px, room: Px) -> Option<String> {
    if width(text, size) <= room {
        return Some(text.into());
    }
    let mut short = String::new();
    for c in text.chars() {
        if width(&short, size) + width("…", size) + width(&c.to_string(), size) > room {
            break;
        }
        short.push(c);
    }
    (short.chars().count() >= 4).then(|| format!("{}…", short.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_tenths() {
        assert_eq!([px(0), px(120), px(123), px(-5)], ["0", "12", "12.3", "-0.5"]);
    }

    #[test]
    fn a_scale_draws_its_ends_at_its_ends() {
        let scale = Scale::whole(-500_000, 1_500_000);
        assert_eq!([scale.x(-500_000), scale.x(500_000), scale.x(1_500_000)], [0, PLOT / 2, PLOT]);
        assert_eq!([scale.x(-900_000), scale.x(9_000_000)], [0, PLOT]);
        assert_eq!(scale.data(), "-500,1500,0,1104");
    }

    #[test]
    fn a_break_has_its_own_scale() {
        let scale = Scale {
            segments: vec![
                Segment { from: 0, to: 10, x0: 0, x1: 100 },
                Segment { from: 10, to: 12, x0: 120, x1: 320 },
            ],
        };
        assert_eq!([scale.x(5), scale.x(10), scale.x(11), scale.x(12)], [50, 100, 220, 320]);
    }

    #[test]
    fn ticks_are_round_and_apart() {
        let ticks = Scale::whole(0, 22_400_000).ticks(900);
        assert_eq!(ticks[1], (2_000_000, 0));
        assert_eq!(Scale::whole(9_100_000, 9_400_000).ticks(900)[0], (9_100_000, 2));
        assert_eq!(seconds(9_120_000, 2), "9.12");
        assert_eq!(seconds(-250_000, 3), "-0.250");
    }

    #[test]
    fn labels_are_cut_where_there_is_no_room() {
        assert_eq!(fit("kill", 11, 1000).as_deref(), Some("kill"));
        assert_eq!(fit("kill node-0 (SIGKILL)", 11, 200), None);
        let short = fit("kill node-0 (SIGKILL)", 11, 700).expect("room for some of it");
        assert!(short.ends_with('…') && width(&short, 11) <= 700, "{short}");
    }
}
