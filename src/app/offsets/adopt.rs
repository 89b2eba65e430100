//! `tidemill offsets adopt`: a topic that was deleted and made anew is read as another source.

use crate::adapters::postgres::positions;
use crate::adapters::postgres::positions::Adoption;
use crate::app::offsets::author;
use crate::app::offsets::change::conclude;
use crate::app::offsets::change::find;
use crate::app::offsets::world::World;
use crate::app::oneshot;
use crate::app::oneshot::Refusal;
use crate::cli::Exit;
use crate::cli::OffsetsAdoptArgs;
use crate::config::Config;
use crate::domain::lane::Lane;

pub async fn adopt(config: &Config, args: &OffsetsAdoptArgs) -> Result<Exit, Refusal> {
    let world = World::look(config).await?;
    let name = &args.topic;
    let Some(at) = world.topics.iter().position(|t| &t.name == name) else {
        return Err(Refusal::wrong(format!("this pipeline does not read topic {name}")));
    };
    let topic = &world.topics[at];
    let (Some(facts), Some(source)) = (&topic.facts, &topic.source) else {
        let why = if topic.facts.is_none() { "the topic does not exist" } else { "nobody has read this topic yet" };
        return Err(Refusal::wrong(format!("{name}: {why}: there is nothing to adopt")));
    };
    let (true, Some(topic_id)) = (topic.is_remade(), facts.id) else {
        return Err(Refusal::wrong(format!(
            "{name}: the topic is the one that was always read: there is nothing to adopt"
        )));
    };
    let mut starts = vec![];
    for partition in 0..facts.partitions as i32 {
        let lane = Lane { topic: at as u16, partition };
        let to = find(&world, lane, args.to).await?;
        let (start, end) = world.ask(move |s| s.watermarks(lane)).await?;
        if !(start..=end).contains(&to) {
            return Err(Refusal::wrong(format!("{name}:{partition}: offset {to} is not between {start} and {end}")));
        }
        starts.push(to);
    }
    let author = author(config, "adopt", &args.change);
    let dry_run = args.change.dry_run || !args.change.yes;
    let places: Vec<String> = starts.iter().zip(0..).map(|(to, partition)| format!("{partition} at {to}")).collect();
    let adoption = Adoption { author: &author, old: source, topic_id, starts, dry_run };
    let Some(number) = positions::adopt(&world.database, &adoption).await? else {
        return Err(Refusal::wrong(format!("{name}: somebody else has adopted it meanwhile; look again")));
    };
    // The number of a dry run is given back with it.
    let what = if dry_run { "would be another source".to_owned() } else { format!("is source {number}") };
    oneshot::print(&format!(
        "{name}: {what} from now on, partitions {}; source {} is retired with its rows\n",
        places.join(", "),
        source.id
    ))?;
    if !dry_run {
        oneshot::print("processes that still run end by themselves (exit code 4) and have to be started again\n")?;
    }
    conclude(&args.change, args.change.yes)
}
