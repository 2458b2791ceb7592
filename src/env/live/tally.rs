//! What came by on each link or disk, and what faults made of it: a table for the run folder, and a phrase for the
//! report. Pure.

use std::fmt::Write as _;

/// A title and a number.
type Column = (&'static str, u64);

/// Rows of numbers under the same titles. The first columns tell what came by, the rest what faults did.
#[derive(Debug)]
pub struct Tally<const N: usize> {
    seen: usize,
    text: String,
    sums: [Column; N],
}

impl<const N: usize> Tally<N> {
    /// `head` stands over the rows' names. Of the columns, as many as `seen` tell what came by; all are at zero.
    pub fn new(head: &str, seen: usize, columns: [Column; N]) -> Self {
        let text = format!("{head}\t{}\n", columns.map(|(title, _)| title).join("\t"));
        Self { seen, text, sums: columns }
    }

    pub fn row(&mut self, name: &str, columns: [Column; N]) {
        let _ = writeln!(self.text, "{name}\t{}", columns.map(|(_, number)| number.to_string()).join("\t"));
        for (sum, (_, number)) in self.sums.iter_mut().zip(columns) {
            sum.1 += number;
        }
    }

    /// The rows, with their titles above.
    pub fn table(self) -> String {
        self.text
    }

    /// What faults came to in all rows: `7 lost, 2 delayed`. Nothing where there was none.
    pub fn struck(&self) -> Option<String> {
        let told: Vec<String> = self.sums[self.seen..]
            .iter()
            .filter(|(_, sum)| *sum > 0)
            .map(|(title, sum)| format!("{sum} {title}"))
            .collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_under_their_titles_and_faults_are_summed_up() {
        let row = |packets, lost, delayed| [("packets", packets), ("lost", lost), ("delayed", delayed)];
        let mut tally = Tally::new("link", 1, row(0, 0, 0));
        assert_eq!(tally.struck(), None);
        tally.row("a", row(10, 3, 0));
        tally.row("b", row(20, 4, 0));
        assert_eq!(tally.struck().as_deref(), Some("7 lost"));
        assert_eq!(tally.table(), "link\tpackets\tlost\tdelayed\na\t10\t3\t0\nb\t20\t4\t0\n");
    }
}
