//! What speaks against reading a partition, as far as it can be told from outside.

use crate::adapters::kafka::first_offset::owner_of;
use crate::app::claims::uid_text;
use crate::app::offsets::world::Log;
use crate::app::offsets::world::Topic;

/// What is to be said of a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    Fine,
    /// Nobody has claimed it yet.
    New,
    /// Worth knowing; it is read all the same.
    Note(String),
    /// It cannot be read on, or must not: the text says why, and the way out.
    Trouble(String),
}

/// Judges a partition. `log` is `None` when the topic or the partition is not there.
pub fn judge(topic: &Topic, partition: i32, log: Option<&Log>) -> State {
    let name = &topic.name;
    if topic.facts.is_none() {
        return State::Trouble("the topic does not exist".to_owned());
    }
    if topic.is_remade() {
        return State::Trouble(format!(
            "the topic was deleted and made anew; see `tidemill offsets adopt --topic {name}`"
        ));
    }
    let Some(log) = log else {
        return State::Trouble("the topic has no such partition".to_owned());
    };
    let Some(source) = &topic.source else { return State::New };
    let commit = log.commit.as_ref();
    let owner = commit.and_then(|c| owner_of(&c.metadata));
    let ours = owner == Some(uid_text(source.uid).as_str());
    let Some(position) = topic.position(partition) else {
        return match commit {
            Some(c) if ours => State::Trouble(format!(
                "its row is missing, but the group holds our commit of offset {0}: the database lost rows; restore it, or \
                 `tidemill offsets set --partition {name}:{partition} --to {0}`",
                c.offset
            )),
            Some(c) if owner.is_some() => State::Trouble(format!(
                "the group holds a commit of offset {} by another source of Tidemill: is this the right database?",
                c.offset
            )),
            _ => State::New,
        };
    };
    let (mark, start, end) = (position.next_offset, log.start, log.end);
    if mark < start {
        return State::Trouble(format!(
            "offsets {mark} to {} are not in the log any more, it holds {start} to {}; \
             `tidemill offsets skip --partition {name}:{partition} --from {mark} --to {start}`",
            start - 1,
            end - 1
        ));
    }
    if mark > end {
        return State::Trouble(format!(
            "the log ends before offset {end}, below the mark {mark}: it was cut, or made anew; \
             `tidemill offsets set --partition {name}:{partition} --to {end} --expect {mark}`"
        ));
    }
    if log.refilled {
        return State::Trouble(format!(
            "the log was cut and filled again: its record {} is not the one that was stored, it holds {start} to {}; \
             `tidemill offsets set --partition {name}:{partition} --to OFFSET --expect {mark}`, where {mark} goes on and a lower \
             one needs --delete-rows",
            mark - 1,
            end - 1
        ));
    }
    match commit {
        Some(c) if owner.is_none() && c.offset != mark => State::Note(format!(
            "the group's offset {} in Kafka is not by Tidemill and moves nothing; use `tidemill offsets set`",
            c.offset
        )),
        Some(c) if ours && c.offset > mark => State::Note(format!(
            "Kafka was told {} once: the database went back since, and the records from the mark on are read again",
            c.offset
        )),
        _ => State::Fine,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::adapters::kafka::first_offset::Commit;
    use crate::adapters::kafka::first_offset::mark as commit_mark;
    use crate::adapters::kafka::scout::TopicFacts;
    use crate::adapters::postgres::positions::Position;
    use crate::adapters::postgres::positions::SourceRow;

    fn topic(next_offset: Option<i64>) -> Topic {
        let position = |next_offset| Position {
            next_offset,
            epoch: 1,
            owner: None,
            stored: 0,
            dead_lettered: 0,
            skipped: 0,
            fingerprint: None,
            claimed_at: String::new(),
            given_up: 0,
        };
        let positions: BTreeMap<i32, Position> = next_offset.map(|o| (0, position(o))).into_iter().collect();
        let source = SourceRow {
            id: 1,
            uid: 7,
            cluster_id: "c".into(),
            topic: "t".into(),
            topic_id: Some(1),
            group_id: "g".into(),
            partitions: 1,
            positions,
        };
        let facts = TopicFacts { name: "t".into(), partitions: 1, id: Some(1) };
        Topic { name: "t".into(), facts: Some(facts), source: Some(source) }
    }

    fn log(commit: Option<(i64, &str)>) -> Log {
        let commit = commit.map(|(offset, metadata)| Commit { offset, metadata: metadata.into() });
        Log { start: 100, end: 200, commit, refilled: false }
    }

    #[track_caller]
    fn says(state: &State, trouble: bool, parts: &[&str]) {
        let (State::Note(text) | State::Trouble(text)) = state else { panic!("{state:?}") };
        assert_eq!(matches!(state, State::Trouble(_)), trouble, "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "{part} is not in {text}"));
    }

    #[test]
    fn p8_each_loss_names_its_offsets_and_the_way_out() {
        let ours = commit_mark(&uid_text(7));
        let theirs = commit_mark(&uid_text(8));
        assert_eq!(judge(&topic(Some(100)), 0, Some(&log(Some((90, &ours))))), State::Fine);
        assert_eq!(judge(&topic(Some(200)), 0, Some(&log(None))), State::Fine);
        says(&judge(&topic(Some(99)), 0, Some(&log(None))), true, &["99 to 99", "100 to 199", "--from 99 --to 100"]);
        says(&judge(&topic(Some(201)), 0, Some(&log(None))), true, &["offset 200", "mark 201"]);
        says(&judge(&topic(None), 0, Some(&log(Some((150, &ours))))), true, &["missing", "--to 150"]);
        says(&judge(&topic(None), 0, Some(&log(Some((150, &theirs))))), true, &["another source"]);
        assert_eq!(judge(&topic(None), 0, Some(&log(Some((150, ""))))), State::New);
        says(&judge(&topic(Some(150)), 0, Some(&log(Some((100, ""))))), false, &["offset 100", "offsets set"]);
        says(&judge(&topic(Some(150)), 0, Some(&log(Some((160, &ours))))), false, &["160", "went back"]);
        let refilled = Log { refilled: true, ..log(None) };
        says(&judge(&topic(Some(150)), 0, Some(&refilled)), true, &["record 149", "100 to 199", "--expect 150"]);
        says(&judge(&topic(Some(150)), 0, None), true, &["no such partition"]);
        let mut remade = topic(Some(150));
        remade.facts.as_mut().unwrap().id = Some(2);
        says(&judge(&remade, 0, Some(&log(None))), true, &["made anew", "adopt --topic t"]);
        remade.facts = None;
        says(&judge(&remade, 0, None), true, &["does not exist"]);
    }
}
