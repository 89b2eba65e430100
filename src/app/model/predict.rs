//! `tidemill model predict`: events through the decoder and the mill of the daemon.

use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::sync::Arc;

use crate::app::model::events;
use crate::app::model::events::JsonRows;
use crate::app::model::lines;
use crate::cli::Exit;
use crate::cli::ModelPredictArgs;
use crate::domain::scored::Scored;
use crate::domain::verdict::Verdict;
use crate::pipeline::mill::Mill;

/// Writes one line for each event, in their order: its columns, or why it was rejected.
///
/// # Errors
/// What is wrong with the bundle or the input.
pub fn predict(args: &ModelPredictArgs) -> anyhow::Result<Exit> {
    let bundle = events::load(&args.bundle)?;
    let mut mill = events::mill(&bundle, Arc::new(JsonRows { specs: bundle.outputs() }))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut waiting: Vec<Vec<u8>> = vec![];
    for line in lines::open(&args.events)? {
        waiting.push(line?);
        if waiting.len() == args.batch as usize {
            turn(&mut mill, &mut waiting, &mut out)?;
        }
    }
    turn(&mut mill, &mut waiting, &mut out)?;
    out.flush()?;
    Ok(Exit::Done)
}

fn turn(mill: &mut Mill, waiting: &mut Vec<Vec<u8>>, out: &mut impl Write) -> io::Result<()> {
    let (scored, _) = mill.turn(events::batch(waiting.iter().map(Vec::as_slice)));
    waiting.clear();
    (0..scored.batch.records.len()).try_for_each(|record| line(&scored, record, out))
}

fn line(scored: &Scored, record: usize, out: &mut impl Write) -> io::Result<()> {
    match scored.verdicts.of[record] {
        Verdict::Dead(why) => {
            let why = &scored.verdicts.rejected[why as usize];
            let rejected = serde_json::json!({
                "rejected": { "stage": why.stage.name(), "reason": why.reason, "detail": why.detail }
            });
            writeln!(out, "{rejected}")
        }
        Verdict::Keep | Verdict::Skip(_) => {
            out.write_all(scored.rows.row(record))?;
            out.write_all(b"\n")
        }
    }
}
