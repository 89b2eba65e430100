//! `tidemill offsets set` and `skip`: marks by hand, each in one transaction with its entry on record.

use crate::adapters::kafka::start_from::StartFrom;
use crate::adapters::postgres::positions;
use crate::adapters::postgres::positions::Author;
use crate::adapters::postgres::positions::Change;
use crate::adapters::postgres::positions::Changed;
use crate::adapters::postgres::positions::Found;
use crate::adapters::postgres::positions::Place as TablePlace;
use crate::app::offsets::author;
use crate::app::offsets::plan::Back;
use crate::app::offsets::plan::Wish;
use crate::app::offsets::plan::plan;
use crate::app::offsets::world::Topic;
use crate::app::offsets::world::World;
use crate::app::oneshot;
use crate::app::oneshot::Refusal;
use crate::cli::Exit;
use crate::cli::OffsetsSetArgs;
use crate::cli::OffsetsSkipArgs;
use crate::cli::Partitions;
use crate::cli::Target;
use crate::config::Config;
use crate::domain::lane::Lane;

/// What holds for every partition of one command.
struct Job<'a> {
    world: &'a World,
    author: Author,
    back: Back,
    place: Option<TablePlace>,
    dry_run: bool,
}

pub async fn set(config: &Config, args: &OffsetsSetArgs) -> Result<Exit, Refusal> {
    let confirmed = args.change.yes || args.expect.is_some();
    let back = match (args.delete_rows, args.allow_repeat) {
        (true, _) => Back::Delete,
        (false, true) => Back::Keep,
        (false, false) => Back::Refuse,
    };
    let world = World::look(config).await?;
    let job = Job::new(config, &world, author(config, "set", &args.change), back, args.change.dry_run || !confirmed);
    let job = job.await?;
    let lanes = lanes(&world, &args.partitions)?;
    for lane in &lanes {
        let to = find(&world, *lane, args.to).await?;
        job.change(*lane, Wish { to, expect: args.expect, back, forward_only: false }).await?;
    }
    conclude(&args.change, confirmed)
}

pub async fn skip(config: &Config, args: &OffsetsSkipArgs) -> Result<Exit, Refusal> {
    let confirmed = args.change.yes || args.from.is_some();
    let world = World::look(config).await?;
    let author = author(config, "skip", &args.change);
    let job = Job::new(config, &world, author, Back::Refuse, args.change.dry_run || !confirmed).await?;
    let mut done = 0;
    for lane in lanes(&world, &args.partitions)? {
        let to = match args.to {
            Some(to) => to,
            None => {
                let start = find(&world, lane, Target::Find(StartFrom::Earliest)).await?;
                let mark = world.topics[usize::from(lane.topic)].position(lane.partition).map(|p| p.next_offset);
                if mark.is_none_or(|mark| mark >= start) {
                    continue;
                }
                start
            }
        };
        done += 1;
        job.change(lane, Wish { to, expect: args.from, back: Back::Refuse, forward_only: true }).await?;
    }
    if done == 0 {
        oneshot::print("nothing is lost: every mark is in its log\n")?;
        return Ok(Exit::Done);
    }
    conclude(&args.change, confirmed)
}

/// A change that nobody confirmed was only shown.
pub fn conclude(change: &crate::cli::ChangeArgs, confirmed: bool) -> Result<Exit, Refusal> {
    if confirmed || change.dry_run {
        return Ok(Exit::Done);
    }
    Err(Refusal::wrong("nothing was changed: repeat it with --yes, or name the mark that you mean (--expect, --from)"))
}

fn lanes(world: &World, which: &Partitions) -> Result<Vec<Lane>, Refusal> {
    let Some(place) = &which.partition else { return Ok(world.lanes()) };
    let topic = world.topics.iter().position(|t| t.name == place.topic);
    let topic = topic.ok_or_else(|| Refusal::wrong(format!("this pipeline does not read topic {}", place.topic)))?;
    Ok(vec![Lane { topic: topic as u16, partition: place.partition }])
}

/// The offset that is meant, as a number.
pub async fn find(world: &World, lane: Lane, target: Target) -> Result<i64, Refusal> {
    match target {
        Target::Offset(offset) => Ok(offset),
        Target::Find(StartFrom::Earliest) => Ok(world.ask(move |s| s.watermarks(lane)).await?.0),
        Target::Find(StartFrom::Latest) => Ok(world.ask(move |s| s.watermarks(lane)).await?.1),
        Target::Find(StartFrom::Time(millis)) => world.ask(move |s| s.offset_at(lane, millis)).await,
    }
}

impl<'a> Job<'a> {
    async fn new(
        config: &Config,
        world: &'a World,
        author: Author,
        back: Back,
        dry_run: bool,
    ) -> Result<Job<'a>, Refusal> {
        let place = TablePlace::find(&world.database, &config.table).await?;
        if back == Back::Delete && !place.as_ref().is_some_and(TablePlace::names_source) {
            return Err(Refusal::wrong(format!(
                "table {} does not keep source, partition and offset, so its rows cannot be found: delete them by hand and \
                 use --allow-repeat",
                config.table.name
            )));
        }
        Ok(Job { world, author, back, place, dry_run })
    }

    async fn change(&self, lane: Lane, wish: Wish) -> Result<(), Refusal> {
        let topic = &self.world.topics[usize::from(lane.topic)];
        let name = format!("{}:{}", topic.name, lane.partition);
        let about = |why: String| Refusal::wrong(format!("{name}: {why}"));
        if topic.is_remade() {
            let way = format!("the topic was made anew: `tidemill offsets adopt --topic {}` comes first", topic.name);
            return Err(about(way));
        }
        let Some(source) = &topic.source else {
            return Err(about("nobody has read this topic yet: a first start goes where kafka.start_from says".into()));
        };
        let Some(log) = self.world.log(lane).await? else {
            return Err(about("the topic has no such partition".into()));
        };
        let mark = topic.position(lane.partition).map(|p| p.next_offset);
        let plan = plan(wish, mark, (log.start, log.end)).map_err(about)?;
        if plan.look {
            self.refuse_repeats(topic, source.id, lane, (wish.to, mark.unwrap_or(wish.to))).await?;
        }
        if self.back == Back::Delete && mark.is_some_and(|mark| wish.to < mark) {
            let others = self.namesakes(topic, source.id).await?;
            if !others.is_empty() {
                return Err(about(format!(
                    "rows of {} bear the same topic's name, so --delete-rows would delete theirs as well: nothing was \
                     changed; delete yours by hand and use --allow-repeat",
                    others.join(", ")
                )));
            }
        }
        let change = Change {
            author: &self.author,
            source: source.id,
            topic: &topic.name,
            partition: lane.partition,
            seen: plan.seen,
            to: wish.to,
            delete: self.place.as_ref().filter(|_| self.back == Back::Delete),
            dry_run: self.dry_run,
        };
        match positions::change(&self.world.database, &change).await? {
            Changed::Done { from, deleted } => self.tell(&name, from, wish.to, deleted),
            Changed::Moved(now) => {
                let now = now.map_or_else(|| "gone".to_owned(), |mark| format!("{mark} by now"));
                Err(about(format!("the mark is {now}: nothing was changed; stop the pipeline, or look again")))
            }
        }
    }

    /// Going back over what was stored would make it twice (promise P1).
    async fn refuse_repeats(&self, topic: &Topic, source: i16, lane: Lane, range: (i64, i64)) -> Result<(), Refusal> {
        let ways = "--delete-rows deletes them in the same transaction, --allow-repeat keeps them and stores what is read \
                    again beside them";
        let refused = |why: String| Err(Refusal::wrong(format!("{}:{}: {why}; {ways}", topic.name, lane.partition)));
        let Some(place) = &self.place else {
            return refused(
                "the table does not keep partition and offset, so nobody knows what would be there twice".into(),
            );
        };
        let who = (source, topic.name.as_str(), lane.partition);
        let Found { rows, dead_letters } = positions::count(&self.world.database, place, who, range).await?;
        if rows + dead_letters == 0 {
            return Ok(());
        }
        let (from, to) = (range.0, range.1 - 1);
        let others = self.namesakes(topic, source).await?.join(", ");
        let of = if others.is_empty() { others } else { format!(", or those of {others} have, which look the same") };
        refused(format!("offsets {from} to {to} have become {rows} rows and {dead_letters} dead letters{of}"))
    }

    /// Sources whose rows look like those of this one.
    async fn namesakes(&self, topic: &Topic, source: i16) -> Result<Vec<String>, Refusal> {
        let Some(place) = &self.place else { return Ok(vec![]) };
        Ok(positions::namesakes(&self.world.database, place, &topic.name, source).await?)
    }

    fn tell(&self, name: &str, from: Option<i64>, to: i64, deleted: Found) -> Result<(), Refusal> {
        let verb = if self.dry_run { "would go" } else { "goes" };
        let mut text = match from {
            None => format!("{name}: {verb} to {to}; it had no mark"),
            Some(from) if from < to => {
                format!("{name}: {verb} from {from} to {to}; offsets {from} to {} are given up", to - 1)
            }
            Some(from) if from == to => format!("{name}: {verb} on at {to}, with the log as it is now"),
            Some(from) => format!("{name}: {verb} back from {from} to {to}"),
        };
        if self.back == Back::Delete && from.is_some_and(|from| from > to) {
            let Found { rows, dead_letters } = deleted;
            text.push_str(&format!("; {rows} rows and {dead_letters} dead letters are deleted"));
        } else if from.is_some_and(|from| from > to) && self.back == Back::Keep {
            text.push_str("; rows that are there stay, and what is read again comes beside them");
        }
        oneshot::print(&format!("{text}\n"))
    }
}
