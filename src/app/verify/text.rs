//! The report for people: a line a partition, what is wrong below it, and a verdict.

use std::fmt::Write as _;

use crate::app::verify::findings::Finding;
use crate::app::verify::findings::Kind;
use crate::app::verify::findings::LaneReport;
use crate::app::verify::findings::Report;

const HEAD: [&str; 9] = ["topic", "partition", "from", "to", "records", "rows", "dead", "skipped", "found"];

pub fn render(report: &Report) -> String {
    let mut lines: Vec<[String; 9]> = vec![HEAD.map(str::to_owned)];
    lines.extend(report.partitions.iter().map(cells));
    let widths: Vec<usize> = (0..HEAD.len()).map(|c| lines.iter().map(|l| l[c].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).enumerate();
        let padded = cells.map(|(i, (cell, width))| match i {
            0 => format!("{cell:<width$}"),
            8 => cell.clone(),
            _ => format!("{cell:>width$}"),
        });
        let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    }
    for lane in &report.partitions {
        let place = format!("{}[{}]", lane.topic, lane.partition);
        for finding in &lane.findings {
            let _ = writeln!(text, "{} {place}: {}", name(finding.kind).to_uppercase(), told(finding));
        }
        for note in &lane.notes {
            let _ = writeln!(text, "note {place}: {note}");
        }
        for (count, what) in [
            (lane.before_start, "records are older than the pipeline"),
            (lane.holes, "records were set aside by an operator"),
            (lane.not_judged, "rows or dead letters lie outside of what could be judged"),
        ] {
            if count > 0 {
                let _ = writeln!(text, "note {place}: {count} {what}");
            }
        }
    }
    if report.strays > 0 {
        let first = report.first_strays.join("; ");
        let _ =
            writeln!(text, "PHANTOM {} rows or dead letters of partitions that do not exist: {first}", report.strays);
    }
    for open in &report.not_checked {
        let _ = writeln!(text, "not checked: {open}");
    }
    let _ = writeln!(text, "{}", verdict(report));
    text
}

fn cells(lane: &LaneReport) -> [String; 9] {
    let found = match lane.findings.len() {
        0 if lane.mark.is_none() => "not claimed yet".into(),
        0 => "ok".into(),
        _ => lane.findings.iter().map(|f| format!("{} {}", f.count, name(f.kind))).collect::<Vec<_>>().join(", "),
    };
    let n = |n: u64| n.to_string();
    [
        lane.topic.clone(),
        lane.partition.to_string(),
        lane.from.to_string(),
        lane.to.to_string(),
        n(lane.records),
        n(lane.rows),
        n(lane.dead_letters),
        n(lane.skipped),
        found,
    ]
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Lost => "lost",
        Kind::Doubled => "doubled",
        Kind::Phantom => "phantom",
        Kind::AboveMark => "above the mark",
        Kind::OutOfOrder => "out of order",
        Kind::CommitBeforeDurable => "committed too far",
        Kind::MarkBeyondLog => "mark beyond the log",
        Kind::Totals => "totals",
    }
}

fn told(finding: &Finding) -> String {
    let Finding { count, offsets, detail, .. } = finding;
    if matches!(finding.kind, Kind::Totals | Kind::CommitBeforeDurable | Kind::MarkBeyondLog) {
        return detail.clone();
    }
    let named = offsets.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let more = count.saturating_sub(offsets.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{count} ({named}{more}): {detail}")
}

fn verdict(report: &Report) -> String {
    let records: u64 = report.partitions.iter().map(|l| l.records).sum();
    let (windows, seconds) = (report.windows, report.seconds);
    let looked = format!(
        "{records} records in {windows} windows, {} of them record by record, {seconds:.1} s",
        report.windows_differing
    );
    let wrong = report.partitions.iter().filter(|l| !l.findings.is_empty()).count();
    match report.is_fine() {
        true => format!("fine: every record below the marks has one disposition ({looked})"),
        false => format!("DIFFERENCES in {wrong} of {} partitions ({looked})", report.partitions.len()),
    }
}
