//! What is looked at: which lanes, and of each the offsets that can be judged.

use crate::adapters::kafka::first_offset::Commit;
use crate::adapters::kafka::options::Options;
use crate::adapters::kafka::walk::Stretch;
use crate::adapters::postgres::audit::entries::Range;
use crate::adapters::postgres::audit::entries::Ranges;
use crate::adapters::postgres::audit::place::Overlap;
use crate::adapters::postgres::audit::snapshot::Snapshot;
use crate::adapters::postgres::audit::snapshot::Standing;
use crate::app::connect::Cluster;
use crate::cli::VerifyArgs;
use crate::config::Config;
use crate::domain::lane::Lane;
use crate::domain::windows::WINDOW;
use crate::domain::windows::window_of;

/// One lane with everything that was asked about it.
#[derive(Clone, Debug)]
pub struct Scene {
    pub lane: Lane,
    pub topic: String,
    pub committed: Option<Commit>,
    /// Whether that commit carries the mark of this source.
    pub ours: bool,
    /// `None` for a lane that was never claimed.
    pub standing: Option<Standing>,
    /// First offset in the log, and the next one to come.
    pub ends: (i64, i64),
    /// What is judged: from, and to but not including.
    pub lo: i64,
    pub hi: i64,
    pub compacts: Option<bool>,
    pub holes: Vec<(i64, i64)>,
    /// The running totals count some records twice, since an operator set the mark back, at most from here.
    pub rewound: Option<i64>,
    /// Sources whose rows look like those of this one.
    pub namesakes: Vec<String>,
    source: i16,
}

/// All that is looked at.
#[derive(Clone, Debug)]
pub struct Scope {
    pub scenes: Vec<Scene>,
    pub overlap: Overlap,
    /// Only a part of what could be judged was asked for.
    pub narrowed: bool,
}

/// The brokers' answers, in the order of the lanes.
pub struct Asked {
    pub lanes: Vec<Lane>,
    pub committed: Vec<Option<Commit>>,
    pub ends: Vec<(i64, i64)>,
    pub since: Option<Vec<i64>>,
    /// By topic.
    pub compacts: Vec<Option<bool>>,
}

/// The options of the client: those of the configuration, with the topics that are asked for.
pub fn kafka_options(config: &Config, args: &VerifyArgs) -> Result<Options, String> {
    let mut options = config.kafka.clone();
    if let Some(topic) = &args.topic {
        options.topics.retain(|t| t == topic);
        if options.topics.is_empty() {
            return Err(format!("--topic {topic}: kafka.topics are {}", config.kafka.topics.join(", ")));
        }
    }
    Ok(options)
}

/// Every partition that is asked for.
pub fn lanes(cluster: &Cluster, args: &VerifyArgs) -> Result<Vec<Lane>, String> {
    let mut lanes = vec![];
    for (topic, facts) in (0_u16..).zip(&cluster.topics) {
        let partitions = 0..i32::try_from(facts.partitions).unwrap_or(i32::MAX);
        let wanted = partitions.filter(|p| args.partition.is_none_or(|only| only == *p));
        lanes.extend(wanted.map(|partition| Lane { topic, partition }));
    }
    match args.partition {
        Some(partition) if lanes.is_empty() => Err(format!("--partition {partition}: no topic has so many partitions")),
        _ => Ok(lanes),
    }
}

impl Scope {
    pub fn new(args: &VerifyArgs, cluster: &Cluster, snapshot: &Snapshot, asked: Asked) -> Scope {
        let mut scenes = vec![];
        for (i, lane) in asked.lanes.into_iter().enumerate() {
            let topic = usize::from(lane.topic);
            let known = snapshot.known[topic].as_ref();
            let standing = known.and_then(|k| k.standings.get(&lane.partition).copied());
            let place = (known.map_or(-1, |k| k.id), lane.partition);
            let committed = asked.committed[i].clone();
            let ours = committed.as_ref().zip(known).is_some_and(|(c, k)| c.metadata.contains(&k.uid));
            let since = asked.since.as_ref().map(|s| s[i]);
            let (lo, hi) = bounds(args, standing, asked.ends[i].0, since);
            scenes.push(Scene {
                lane,
                topic: cluster.topics[topic].name.clone(),
                committed,
                ours,
                standing,
                ends: asked.ends[i],
                lo,
                hi,
                compacts: asked.compacts.get(topic).copied().flatten(),
                holes: snapshot.holes.get(&place).cloned().unwrap_or_default(),
                rewound: snapshot.rewound.get(&place).copied(),
                namesakes: snapshot.namesakes[topic].clone(),
                source: place.0,
            });
        }
        Scope { scenes, overlap: snapshot.place.overlap, narrowed: args.is_narrowed() }
    }

    /// What is read from the log first.
    pub fn stretches(&self) -> Vec<Stretch> {
        self.scenes.iter().map(|s| Stretch { lane: s.lane, from: s.lo, to: s.hi }).collect()
    }

    /// What is asked of the tables.
    pub fn ranges(&self, only: Option<i32>) -> Ranges {
        let range = |s: &Scene| Range {
            source: s.source,
            topic: s.topic.clone(),
            partition: s.lane.partition,
            lo: s.lo,
            hi: s.hi,
            mark: s.standing.map_or(0, |s| s.next_offset),
        };
        Ranges::new(&self.scenes.iter().map(range).collect::<Vec<_>>(), only)
    }
}

fn bounds(args: &VerifyArgs, standing: Option<Standing>, first: i64, since: Option<i64>) -> (i64, i64) {
    let mark = standing.map_or(0, |s| s.next_offset);
    let hi = args.to.map_or(mark, |to| to.min(mark));
    let newest = args.windows.map_or(0, |n| (window_of(hi - 1) + 1 - i64::from(n)) * WINDOW);
    let lo = [Some(first), args.from, since, Some(newest)].into_iter().flatten().max().unwrap_or(first);
    (lo.min(hi), hi)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;
    use crate::cli::Command;

    fn judged(arguments: &str, mark: Option<i64>, first: i64, since: Option<i64>) -> (i64, i64) {
        let line = format!("tidemill verify {arguments}");
        let Command::Verify(args) = Cli::parse_from(line.split_whitespace()).command else { panic!("verify") };
        let standing = mark.map(|next_offset| Standing { next_offset, stored: 0, dead_lettered: 0, skipped: 0 });
        bounds(&args, standing, first, since)
    }

    #[test]
    fn only_what_lies_between_the_logs_beginning_and_the_mark_is_judged() {
        assert_eq!(judged("", Some(25_000), 100, None), (100, 25_000));
        assert_eq!(judged("", None, 100, None), (0, 0), "never claimed");
        assert_eq!(judged("", Some(50), 100, None), (50, 50), "retention overtook the mark");
        assert_eq!(judged("--from 7000 --to 8000", Some(25_000), 100, None), (7_000, 8_000));
        assert_eq!(judged("--from 30000", Some(25_000), 100, None), (25_000, 25_000));
        assert_eq!(judged("--windows 1", Some(25_000), 100, None), (20_000, 25_000));
        assert_eq!(judged("--windows 2", Some(20_000), 100, None), (100, 20_000));
        assert_eq!(judged("--since 1h", Some(25_000), 100, Some(9_000)), (9_000, 25_000));
    }
}
