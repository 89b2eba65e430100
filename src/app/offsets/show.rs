//! `tidemill offsets show`: every partition with its mark, its log, and what speaks against reading it.

use serde_json::json;

use crate::app::offsets::judge::State;
use crate::app::offsets::judge::judge;
use crate::app::offsets::world::Log;
use crate::app::offsets::world::World;
use crate::app::oneshot;
use crate::app::oneshot::Refusal;
use crate::cli::Exit;
use crate::cli::OffsetsShowArgs;
use crate::config::Config;
use crate::domain::lane::Lane;

/// One partition, with both sides.
struct Line {
    lane: Lane,
    log: Option<Log>,
    state: State,
}

pub async fn show(config: &Config, args: &OffsetsShowArgs) -> Result<Exit, Refusal> {
    let world = World::look(config).await?;
    let mut lines = vec![];
    for lane in world.lanes() {
        let log = world.log(lane).await?;
        let state = judge(&world.topics[usize::from(lane.topic)], lane.partition, log.as_ref());
        lines.push(Line { lane, log, state });
    }
    oneshot::print(&if args.json { as_json(config, &world, &lines) } else { as_text(config, &world, &lines) })?;
    Ok(Exit::Done)
}

fn as_json(config: &Config, world: &World, lines: &[Line]) -> String {
    let partition = |line: &Line| {
        let topic = &world.topics[usize::from(line.lane.topic)];
        let p = topic.position(line.lane.partition);
        let (log, mark) = (line.log.as_ref(), p.map(|p| p.next_offset));
        let (state, text) = match &line.state {
            State::Fine => ("fine", None),
            State::New => ("new", None),
            State::Note(text) => ("fine", Some(text)),
            State::Trouble(text) => ("trouble", Some(text)),
        };
        json!({
            "topic": topic.name, "partition": line.lane.partition, "source": topic.source.as_ref().map(|s| s.id),
            "mark": mark, "epoch": p.map(|p| p.epoch), "owner": p.and_then(|p| p.owner).map(|o| format!("{o:032x}")),
            "claimed_at": p.map(|p| &p.claimed_at), "log_start": log.map(|l| l.start), "log_end": log.map(|l| l.end),
            "lag": mark.zip(log).map(|(mark, l)| l.end - mark),
            "kafka_commit": log.and_then(|l| l.commit.as_ref()).map(|c| json!({ "offset": c.offset, "metadata": c.metadata })),
            "stored": p.map(|p| p.stored), "dead_lettered": p.map(|p| p.dead_lettered), "skipped": p.map(|p| p.skipped),
            "given_up": p.map(|p| p.given_up), "state": state, "text": text,
        })
    };
    let all: Vec<_> = lines.iter().map(partition).collect();
    let whole = json!({
        "pipeline": config.name, "group": config.kafka.group, "cluster": world.cluster_id, "partitions": all,
    });
    format!("{whole}\n")
}

fn as_text(config: &Config, world: &World, lines: &[Line]) -> String {
    let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let row = |line: &Line| {
        let topic = &world.topics[usize::from(line.lane.topic)];
        let (p, log) = (topic.position(line.lane.partition), line.log.as_ref());
        let mark = p.map(|p| p.next_offset);
        let owner = p.and_then(|p| p.owner).map(|o| format!("{o:032x}"));
        let state = match line.state {
            State::Fine | State::Note(_) => "fine",
            State::New => "new",
            State::Trouble(_) => "trouble",
        };
        vec![
            format!("{}:{}", topic.name, line.lane.partition),
            number(mark),
            number(p.map(|p| p.epoch)),
            // Enough to compare it with the log line of a process; see --json for all of it.
            owner.map_or_else(|| "-".to_owned(), |o| o[..8].to_owned() + ".."),
            number(log.map(|l| l.start)),
            number(log.map(|l| l.end)),
            number(mark.zip(log).map(|(mark, l)| l.end - mark)),
            number(log.and_then(|l| l.commit.as_ref()).map(|c| c.offset)),
            number(p.map(|p| p.stored)),
            number(p.map(|p| p.dead_lettered)),
            number(p.map(|p| p.skipped)),
            number(p.map(|p| p.given_up)),
            state.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let heads = [
        "partition",
        "mark",
        "epoch",
        "owner",
        "log start",
        "log end",
        "lag",
        "commit",
        "stored",
        "dead",
        "skipped",
        "given up",
        "state",
    ];
    let mut text = format!("pipeline {}, group {}, cluster {}\n\n", config.name, config.kafka.group, world.cluster_id);
    text.push_str(&oneshot::table(&heads, &rows));
    for line in lines {
        if let State::Note(why) | State::Trouble(why) = &line.state {
            let name = &world.topics[usize::from(line.lane.topic)].name;
            text.push_str(&format!("\n{name}:{}: {why}\n", line.lane.partition));
        }
    }
    text
}
