//! The live table of `tidemill demo`: redrawn in place on a terminal, else one plain line at a time.

use std::io;
use std::io::Write;
use std::time::Duration;

/// How often a table on a terminal is worth redrawing.
pub const TERMINAL_EVERY: Duration = Duration::from_millis(250);
/// How often a plain line is worth printing.
pub const PLAIN_EVERY: Duration = Duration::from_secs(2);

/// What the table shows, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Since the demo's start.
    pub elapsed: Duration,
    /// Records produced so far, poisoned ones included.
    pub produced: u64,
    /// Rows stored so far.
    pub stored: u64,
    pub dead_letters: u64,
    /// Records made durable a second, over the time since the last sample.
    pub rate: f64,
    /// Records a second that the generator aims at.
    pub rate_wanted: f64,
    /// Records produced and not yet durable.
    pub lag: u64,
    /// Mean records of a micro-batch since the last sample; `None` when there was none.
    pub batch_rows: Option<f64>,
    /// From the record's timestamp to its durability; `None` when nothing was stored since the last sample.
    pub age_p50: Option<Duration>,
    pub age_p99: Option<Duration>,
}

/// Shows samples on an output.
#[derive(Debug)]
pub struct Table<W: Write> {
    out: W,
    terminal: bool,
    /// Lines of the last drawing, to go back over.
    drawn: usize,
}

impl<W: Write> Table<W> {
    /// `terminal`: whether the output can move its cursor; ask `std::io::IsTerminal`.
    pub fn new(out: W, terminal: bool) -> Table<W> {
        Table { out, terminal, drawn: 0 }
    }

    /// How long to wait between two samples.
    pub fn every(&self) -> Duration {
        if self.terminal { TERMINAL_EVERY } else { PLAIN_EVERY }
    }

    /// Draws over the last table, or prints a line.
    ///
    /// # Errors
    /// When the output does not take it.
    pub fn show(&mut self, sample: &Sample) -> io::Result<()> {
        if !self.terminal {
            writeln!(self.out, "{}", line(sample))?;
            return self.out.flush();
        }
        if self.drawn > 0 {
            write!(self.out, "\x1b[{}A", self.drawn)?;
        }
        let rows = rows(sample);
        for (name, value, note) in &rows {
            // Clear behind the text, not before it: no flicker.
            writeln!(self.out, "  {name:<14}{value:>12}  {note}\x1b[K")?;
        }
        self.drawn = rows.len();
        self.out.flush()
    }

    /// Leaves the last table where it is: what is printed next comes below it.
    pub fn leave(&mut self) {
        self.drawn = 0;
    }
}

/// One sample on one line, without control characters.
pub fn line(sample: &Sample) -> String {
    format!(
        "{:>6.1}s  rate {}/s  lag {}  batch {}  age p50 {} p99 {}  stored {}  dead letters {}",
        sample.elapsed.as_secs_f64(),
        grouped(sample.rate.round() as u64),
        grouped(sample.lag),
        batch(sample),
        age(sample.age_p50),
        age(sample.age_p99),
        grouped(sample.stored),
        grouped(sample.dead_letters),
    )
}

fn rows(sample: &Sample) -> Vec<(&'static str, String, String)> {
    let wanted = format!("records/s, wanted {}", grouped(sample.rate_wanted.round() as u64));
    let plain = |note: &str| note.to_owned();
    vec![
        ("running", format!("{:.1}", sample.elapsed.as_secs_f64()), plain("s")),
        ("rate", grouped(sample.rate.round() as u64), wanted),
        ("lag", grouped(sample.lag), plain("records produced and not yet durable")),
        ("batch size", batch(sample), plain("records, mean")),
        ("age p50", age(sample.age_p50), plain("from produced to durable")),
        ("age p99", age(sample.age_p99), String::new()),
        ("produced", grouped(sample.produced), plain("records")),
        ("stored", grouped(sample.stored), plain("rows")),
        ("dead letters", grouped(sample.dead_letters), plain("poisoned on purpose")),
    ]
}

fn batch(sample: &Sample) -> String {
    sample.batch_rows.map_or_else(|| "-".to_owned(), |rows| format!("{rows:.1}"))
}

fn age(value: Option<Duration>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let ms = value.as_secs_f64() * 1e3;
    match ms {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 9_999.5 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}

/// Thousands set apart by commas.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample {
            elapsed: Duration::from_millis(12_340),
            produced: 1_024_678,
            stored: 1_023_456,
            dead_letters: 1_034,
            rate: 1_998.6,
            rate_wanted: 2_000.0,
            lag: 188,
            batch_rows: Some(17.25),
            age_p50: Some(Duration::from_micros(4_200)),
            age_p99: Some(Duration::from_micros(38_600)),
        }
    }

    fn drawn(samples: &[Sample], terminal: bool) -> String {
        let mut table = Table::new(vec![], terminal);
        for sample in samples {
            table.show(sample).unwrap();
        }
        String::from_utf8(table.out).unwrap()
    }

    #[test]
    fn a_plain_output_gets_a_line_a_sample() {
        let nothing = Sample { elapsed: Duration::from_secs(2), ..Sample::default() };
        insta::assert_snapshot!(drawn(&[nothing, sample()], false), @r"
           2.0s  rate 0/s  lag 0  batch -  age p50 - p99 -  stored 0  dead letters 0
          12.3s  rate 1,999/s  lag 188  batch 17.2  age p50 4.2 ms p99 39 ms  stored 1,023,456  dead letters 1,034
        ");
    }

    #[test]
    fn a_terminal_gets_a_table() {
        insta::assert_snapshot!(drawn(&[sample()], true).replace("\x1b[K", "|"), @r"
          running               12.3  s|
          rate                 1,999  records/s, wanted 2,000|
          lag                    188  records produced and not yet durable|
          batch size            17.2  records, mean|
          age p50             4.2 ms  from produced to durable|
          age p99              39 ms  |
          produced         1,024,678  records|
          stored           1,023,456  rows|
          dead letters         1,034  poisoned on purpose|
        ");
    }

    #[test]
    fn a_table_is_drawn_over_the_last_one_until_it_is_left() {
        let text = drawn(&[sample(), sample()], true);
        assert_eq!(text.matches("\x1b[9A").count(), 1);
        let mut table = Table::new(vec![], true);
        table.show(&sample()).unwrap();
        table.leave();
        table.show(&sample()).unwrap();
        assert!(!String::from_utf8(table.out).unwrap().contains("\x1b[9A"));
    }

    #[test]
    fn values_are_short_at_every_size() {
        let ages =
            [0, 40, 9_940, 10_400, 9_999_400, 10_000_000, 61_000_000].map(|us| age(Some(Duration::from_micros(us))));
        assert_eq!(ages, ["0.0 ms", "0.0 ms", "9.9 ms", "10 ms", "9999 ms", "10.0 s", "61.0 s"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
