//! Losses from outside, and the commands that are the way on (promise P8, rules C4, C5, J2).

use std::time::Duration;

use crate::command::run;
use crate::command::start;
use crate::site::LONG;
use crate::site::Site;
use crate::site::lanes;
use crate::site::poll;
use crate::site::reason;
use crate::support::daemon::Daemon;
use crate::support::produce::Load;
use crate::support::produce::Sent;
use crate::support::produce::payments;
use crate::support::signal::Signal;

/// Settings under which everything is noticed soon.
const QUICK: &[&str] = &[
    "intake.out_of_range_retry=500ms",
    "intake.parked_recheck=500ms",
    "intake.reclaim_after=200ms",
    "writer.verify_interval=500ms",
    "kafka.topic_check_interval=500ms",
];

fn stop(mut daemon: Daemon) {
    daemon.signal(Signal::Term);
    assert_eq!(daemon.wait(LONG).code(), Some(0));
}

fn clean(site: &Site<'_>, records: u64, seed: u64) -> Vec<Sent> {
    payments(site.kafka.bootstrap(), &site.topic, Load { records, seed, poisoned: 0.0 })
}

/// The state and the text of a partition, by `offsets show`.
fn shown(site: &Site<'_>, partition: usize) -> (String, String) {
    let show = run(site, &["offsets", "show", "--json"]).json();
    let line = &show["partitions"][partition];
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    (text(&line["state"]), text(&line["text"]))
}

#[test]
fn j2_p8_what_retention_took_is_given_up_by_hand_and_stays_on_record() {
    let site = Site::shared("skip", 2);
    let daemon = site.ready("first", &[]);
    let mut sent = site.produce(200);
    site.settle();
    stop(daemon);
    let mark = site.marks()[&1];
    sent.extend(site.produce(200));
    let end = site.kafka.end_offsets(&site.topic)[&1];
    let first = end - 5;
    site.kafka.delete_records(&site.topic, 1, first);

    let mut daemon = site.daemon("second", QUICK);
    lanes(&daemon, "parked", 1);
    let holds = format!("the log holds offsets {first} to {}", end - 1);
    let why = poll("the log's ends in the reason", LONG, || {
        Some(reason(&mut daemon, "partition: ")).filter(|r| r.contains(&holds))
    });
    assert!(why.contains(&format!("offset {mark} is not in the log")), "{why}");
    poll("the loss as a number", LONG, || {
        let lost = daemon.metric_with("tidemill_intake_lost_records", &["partition=\"1\""])?;
        (lost == (first - mark) as f64).then_some(())
    });
    let place = format!("{}:1", site.topic);
    let (from, to) = (mark.to_string(), first.to_string());
    let (state, text) = shown(&site, 1);
    let way = format!("tidemill offsets skip --partition {place} --from {from} --to {to}");
    assert!(state == "trouble" && text.contains(&way) && text.contains(&format!("{mark} to {}", first - 1)), "{text}");
    assert_eq!(shown(&site, 0).0, "fine");
    run(&site, &["offsets", "show"]).says(0, &["given up", "trouble", &way]);

    let skip = |more: &[&str]| run(&site, &[&["offsets", "skip", "--partition", &place], more].concat());
    skip(&["--from", &from, "--to", &to]).says(2, &["--reason"]);
    skip(&["--from", "3", "--to", &to, "--reason", "x"]).says(2, &[&format!("it is {mark}")]);
    skip(&["--from", &from, "--to", "1", "--reason", "x"]).says(2, &["the log holds"]);
    skip(&["--to", &to, "--reason", "x"]).says(2, &["would go", "nothing was changed", "--yes"]);
    skip(&["--from", &from, "--to", &to, "--reason", "x", "--dry-run"]).says(0, &["would go", "are given up"]);
    assert_eq!(site.marks()[&1], mark, "nothing was changed so far");
    assert_eq!(site.sql("SELECT count(*) FROM tidemill.operation"), "0");

    skip(&["--lost", "--yes", "--reason", "retention was too short"]).says(0, &["are given up"]);
    site.settle();
    sent.retain(|s| s.partition != 1 || s.offset < mark || s.offset >= first);
    site.expect_exact(&sent);
    daemon.wait_until_ready(LONG);
    assert_eq!(site.sql("SELECT partition, from_offset, to_offset FROM tidemill.hole"), format!("1|{mark}|{first}"));
    let record = site.sql("SELECT role, command, reason, pipeline, partition, from_offset, to_offset, client <> '' FROM tidemill.operation");
    assert_eq!(record, format!("postgres|skip|retention was too short|fraud|1|{mark}|{first}|t"));
    assert_eq!(shown(&site, 1).0, "fine");
    run(&site, &["offsets", "skip", "--all-partitions", "--lost", "--yes", "--reason", "x"])
        .says(0, &["nothing is lost"]);
    stop(daemon);
    run(&site, &["verify"]).says(0, &["fine: every record below the marks has one disposition"]);
}

#[test]
fn p8_a_topic_made_anew_parks_while_it_runs_and_is_read_once_it_is_adopted() {
    let site = Site::shared("adopt", 1);
    let old = clean(&site, 100, 1);
    let mut daemon = site.ready("old", QUICK);
    site.settle();
    site.kafka.delete_topic(&site.topic);
    reason(&mut daemon, "topic: ");
    site.kafka.create_topic(&site.topic, 1, 1);
    // Past the old offset, so that nothing but the topic's identity tells.
    let new = clean(&site, 250, 2);
    poll("the new topic to be noticed", LONG, || Some(reason(&mut daemon, "")).filter(|r| r.contains("made anew")));
    assert_eq!(
        site.sql("SELECT count(*) FROM public.scores"),
        old.len().to_string(),
        "nothing of it was taken for ours"
    );

    assert!(shown(&site, 0).1.contains("offsets adopt --topic"));
    let place = format!("{}:0", site.topic);
    let set = ["offsets", "set", "--partition", &place, "--to", "earliest", "--reason", "x", "--yes"];
    run(&site, &set).says(2, &["offsets adopt"]);
    let mut refused = site.daemon("refused", &[]);
    assert_eq!(refused.wait(LONG).code(), Some(2));
    assert!(refused.log().contains("offsets adopt --topic"));

    let adopt = ["offsets", "adopt", "--topic", &site.topic, "--reason", "it was made anew"];
    run(&site, &adopt).says(2, &["would be another source", "nothing was changed"]);
    run(&site, &[&adopt[..], &["--yes"]].concat()).says(0, &["is source", "0 at 0"]);
    run(&site, &[&adopt[..], &["--yes"]].concat()).says(2, &["nothing to adopt"]);
    assert_eq!(daemon.wait(LONG).code(), Some(4), "it is to be started again");
    let daemon = site.ready("new", QUICK);
    let by_source = "SELECT count(*), count(DISTINCT \"offset\") FROM public.scores GROUP BY source ORDER BY source";
    let want = format!("{0}|{0}\n{1}|{1}", old.len(), new.len());
    poll("the new topic's rows", LONG, || (site.sql(by_source) == want).then_some(()));
    assert_eq!(site.sql("SELECT count(*) FROM tidemill.source WHERE retired_at IS NULL"), "1");
    let record =
        "SELECT o.command, o.source = s.id FROM tidemill.operation o, tidemill.source s WHERE s.retired_at IS NULL";
    assert_eq!(site.sql(record), "adopt|t");
    stop(daemon);
}

#[test]
fn p8_a_log_cut_and_filled_again_while_nobody_looked_parks_by_its_last_record() {
    let site = Site::shared("refilled", 1);
    clean(&site, 100, 3);
    let daemon = site.ready("first", &[]);
    site.settle();
    stop(daemon);
    site.kafka.delete_topic(&site.topic);
    site.kafka.create_topic(&site.topic, 1, 1);
    let new = clean(&site, 250, 4);
    // As with a broker that does not tell ids: to the identity it is the same topic, whose log was cut and filled.
    site.sql("UPDATE tidemill.source SET topic_id = NULL");

    let mut daemon = site.daemon("second", QUICK);
    lanes(&daemon, "parked", 1);
    let holds = "the log holds offsets 0 to 249";
    let why = poll("the log's ends in the reason", LONG, || {
        Some(reason(&mut daemon, "partition: ")).filter(|r| r.contains(holds))
    });
    assert!(why.contains("cut and filled again") && why.contains("record 99"), "{why}");
    assert_eq!(site.marks()[&0], 100);
    assert!(shown(&site, 0).1.contains("cut and filled again"));

    let place = format!("{}:0", site.topic);
    let set = |more: &[&str]| run(&site, &[&["offsets", "set", "--partition", &place, "--reason", "x"], more].concat());
    set(&["--to", "0", "--expect", "100"]).says(2, &["100 rows", "--delete-rows", "--allow-repeat"]);
    set(&["--to", "0", "--expect", "100", "--delete-rows"]).says(0, &["back from 100 to 0", "100 rows"]);
    site.settle();
    site.expect_exact(&new);
    let record = site.sql("SELECT from_offset, to_offset, records FROM tidemill.operation");
    assert_eq!(record, "100|0|100");
    assert_eq!(site.sql("SELECT stored FROM tidemill.progress"), "250");
    stop(daemon);
}

#[test]
fn c5_a_mark_set_by_hand_moves_a_running_pipeline_and_two_operators_do_not_race() {
    let site = Site::shared("set", 1);
    let mut sent = clean(&site, 100, 5);
    let daemon = site.ready("first", QUICK);
    site.settle();
    // Nobody brings the mark back to where both believe it to be.
    stop(daemon);
    let place = format!("{}:0", site.topic);
    let arguments = |more: &[&'static str]| {
        let base = ["offsets", "set", "--partition", &place, "--reason", "by hand"].map(str::to_owned);
        base.into_iter().chain(more.iter().map(|m| (*m).to_owned())).collect::<Vec<_>>()
    };
    let set = |more: &[&'static str]| run(&site, &arguments(more).iter().map(String::as_str).collect::<Vec<_>>());
    // Both believe in the same mark: one of them is told that it moved.
    let both = arguments(&["--to", "90", "--expect", "100", "--delete-rows"]);
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    let two = [start(&site, &both), start(&site, &both)].map(|s| s.wait());
    let mut codes = two.each_ref().map(|r| r.code);
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(2)], "{}\n{}", two[0], two[1]);
    assert_eq!(site.sql("SELECT count(*) FROM tidemill.operation"), "1");
    let daemon = site.ready("second", QUICK);
    site.settle();
    site.expect_exact(&sent);

    // Back over rows that stay: they are there twice, as was said.
    set(&["--to", "95", "--yes"]).says(2, &["5 rows", "--allow-repeat"]);
    set(&["--to", "95", "--yes", "--allow-repeat"]).says(0, &["back from 100 to 95", "beside them"]);
    let twice =
        "SELECT count(*) FROM (SELECT FROM public.scores GROUP BY source, partition, \"offset\" HAVING count(*) = 2) d";
    poll("the repeated rows", LONG, || (site.sql(twice) == "5").then_some(()));
    site.sql("DELETE FROM public.scores a USING public.scores b WHERE a.\"offset\" = b.\"offset\" AND a.ctid > b.ctid");

    // Ahead while nobody reads: the audit knows what was given up, and misses nothing else.
    stop(daemon);
    sent.extend(clean(&site, 30, 8));
    set(&["--to", "latest", "--yes"]).says(0, &["are given up"]);
    run(&site, &["verify"]).says(0, &["30 records were set aside by an operator"]);
    let daemon = site.ready("third", QUICK);

    // Ahead while records come: what is jumped over is a hole, wherever the mark was, and back into it there is none.
    let stream = site.stream();
    std::thread::sleep(Duration::from_millis(500));
    set(&["--to", "latest", "--yes"]).says(0, &["goes"]);
    sent.extend(stream.stop());
    site.settle();
    let holes = "SELECT coalesce(sum(to_offset - from_offset), 0) FROM tidemill.hole";
    let hidden: i64 = site.sql(holes).parse().expect("a number");
    let disposed = "SELECT (SELECT count(*) FROM public.scores) + (SELECT count(*) FROM tidemill.dead_letter)";
    let there: i64 = site.sql(disposed).parse().expect("a number");
    assert_eq!(there + hidden, sent.len() as i64, "every record is a row, a dead letter or in a hole");
    set(&["--to", "earliest", "--yes", "--delete-rows"]).says(0, &["back from", " to 0;"]);
    site.settle();
    site.expect_exact(&sent);
    assert_eq!(site.sql(holes), "0", "a hole that is read is none");
    set(&["--to", "2001-01-01T00:00:00Z", "--yes", "--dry-run", "--allow-repeat"]).says(0, &["to 0"]);
    set(&["--to", "999999999", "--yes"]).says(2, &["would park"]);
    stop(daemon);
}

#[test]
fn c7_rows_that_another_pipeline_may_have_stored_are_not_deleted() {
    let site = Site::shared("named", 1);
    // The column holds the topic's name, which is that of both pipelines.
    site.sql("DROP VIEW public.scores_readable; ALTER TABLE public.scores ALTER source TYPE text");
    clean(&site, 100, 9);
    let second = format!("kafka.group={}-second", site.topic);
    let daemons = [site.ready("first", QUICK), site.ready("second", &["name=second", &second])];
    let rows = "SELECT count(*) FROM public.scores WHERE source = ";
    let rows = || site.sql(&format!("{rows}'{}'", site.topic));
    poll("the rows of both", LONG, || (rows() == "200").then_some(()));
    daemons.into_iter().for_each(stop);
    let place = format!("{}:0", site.topic);
    let set = |more: &[&str]| run(&site, &[&["offsets", "set", "--partition", &place, "--reason", "x"], more].concat());
    let back = ["--to", "60", "--expect", "100"];
    set(&[&back[..], &["--delete-rows"]].concat())
        .says(2, &["pipeline second", "nothing was changed", "--allow-repeat"]);
    set(&back).says(2, &["80 rows", "pipeline second", "--allow-repeat"]);
    assert_eq!(rows(), "200", "nobody's rows are gone");
    let totals = "SELECT string_agg(next_offset || ':' || stored, ' ') FROM tidemill.progress";
    assert_eq!(site.sql(totals), "100:100 100:100");
    site.sql("DELETE FROM tidemill.progress WHERE source = (SELECT id FROM tidemill.source WHERE pipeline = 'second')");
    site.sql("DELETE FROM tidemill.source WHERE pipeline = 'second'");
    site.sql("DELETE FROM public.scores a USING public.scores b WHERE a.\"offset\" = b.\"offset\" AND a.ctid > b.ctid");
    set(&[&back[..], &["--delete-rows"]].concat()).says(0, &["back from 100 to 60", "40 rows"]);
    assert_eq!(rows(), "60");
    assert_eq!(site.sql(totals), "60:60");
}

#[test]
fn c4_a_groups_offset_reset_by_hand_moves_nothing_and_is_said() {
    let site = Site::shared("reset", 1);
    let sent = clean(&site, 100, 6);
    stop({
        let daemon = site.ready("first", &[]);
        site.settle();
        daemon
    });
    site.kafka.commit(&site.topic, &site.topic, &[(0, 10)]);
    assert!(shown(&site, 0).1.contains("the group's offset 10 in Kafka is not by Tidemill"));
    let daemon = site.ready("second", &[]);
    poll("the word of it", LONG, || daemon.log().contains("was set by somebody else and moves nothing").then_some(()));
    site.settle();
    site.expect_exact(&sent);
    stop(daemon);
}

#[test]
fn p5_a_topic_that_is_missing_at_the_start_is_waited_for() {
    let mut site = Site::shared("late", 1);
    let there = std::mem::take(&mut site.topic);
    site.topic = format!("{there}-later");
    let mut daemon = site.daemon("only", &[]);
    let why = reason(&mut daemon, "topic: ");
    assert!(why.contains("no such topic") && why.contains(&site.topic), "{why}");
    site.kafka.create_topic(&site.topic, 1, 1);
    let sent = clean(&site, 50, 7);
    daemon.wait_until_ready(LONG);
    poll("the rows", LONG, || (site.marks().get(&0) == Some(&(sent.len() as i64))).then_some(()));
    site.expect_exact(&sent);
    stop(daemon);
}
