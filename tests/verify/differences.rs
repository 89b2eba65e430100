//! Every kind of difference, planted by SQL into a copy of a good pipeline.

use crate::site::Site;
use crate::stage::PARTITIONS;
use crate::stage::SKIP;
use crate::stage::Stage;
use crate::stage::UNREAD;
use crate::stage::Verified;
use crate::stage::verify;

fn run(site: &Site<'_>) -> Verified {
    verify(site, &[], &[SKIP])
}

fn spoilt(sql: &str) -> Verified {
    run(&Stage::shared().copy(sql))
}

#[test]
fn a_good_pipeline_is_fine_and_its_numbers_are_those_of_the_log() {
    let stage = Stage::shared();
    let verified = run(&stage.copy(""));
    let json = verified.fine();
    assert_eq!(verified.sum("records"), stage.log.len() as u64);
    let (rows, dead, skipped) = (verified.sum("rows"), verified.sum("dead_letters"), verified.sum("skipped"));
    assert_eq!(rows + dead + skipped, stage.log.len() as u64);
    assert!(rows > 1_000 && dead > 5 && skipped > 600, "{}", verified.text);
    assert_eq!(json["not_checked"].as_array().map(Vec::len), Some(0), "{}", verified.text);
    for lane in json["partitions"].as_array().unwrap() {
        let mark = stage.marks[&(lane["partition"].as_i64().unwrap() as i32)];
        assert_eq!((lane["mark"].as_i64(), lane["committed"].as_i64()), (Some(mark), Some(mark)), "{}", verified.text);
        assert!(lane["log_end"].as_i64().unwrap() > mark, "records that nobody has read are not judged");
        assert_eq!(lane["totals"]["complete"], true, "{}", verified.text);
    }
    let mut human = stage.site.command("verify", &["verify"], &[SKIP]);
    assert_eq!(human.wait(crate::site::LONG).code(), Some(0));
    assert!(human.log().contains("fine: every record below the marks has one disposition"), "{}", human.log());
}

#[test]
fn a_deleted_row_is_lost() {
    let stage = Stage::shared();
    let gone = [stage.rows(1)[3], stage.rows(1)[200]];
    let verified =
        spoilt(&format!("DELETE FROM scores WHERE partition = 1 AND \"offset\" IN ({}, {})", gone[0], gone[1]));
    assert_eq!(verified.only("lost", &["totals"]), [(1, 2, gone.to_vec())]);
    assert!(verified.text.contains("counts"), "the totals tell as well: {}", verified.text);
}

#[test]
fn a_row_that_is_there_twice_in_place_of_another_is_doubled_and_the_other_lost() {
    let rows = Stage::shared().rows(2);
    let (twice, gone) = (rows[10], rows[11]);
    let verified =
        spoilt(&format!("UPDATE scores SET \"offset\" = {twice} WHERE partition = 2 AND \"offset\" = {gone}"));
    // The update is one more transaction, after all the others.
    assert_eq!(verified.only("doubled", &["lost", "out_of_order"]), [(2, 1, vec![twice])]);
    assert_eq!(verified.only("lost", &["doubled", "out_of_order"]), [(2, 1, vec![gone])]);
}

#[test]
fn a_row_beside_an_open_dead_letter_is_doubled_and_beside_a_replayed_one_fine() {
    let stage = Stage::shared();
    let letter = stage.letters(0)[0];
    let row = format!(
        "INSERT INTO scores SELECT (jsonb_populate_record(s, jsonb_build_object('offset', {letter}))).* FROM scores s
         WHERE partition = 0 AND \"offset\" = {};",
        stage.rows(0)[0]
    );
    let state = |state: &str| {
        format!("UPDATE tidemill.dead_letter SET state = '{state}' WHERE partition = 0 AND \"offset\" = {letter};")
    };
    let late = ["totals", "out_of_order"];
    assert_eq!(spoilt(&row).only("doubled", &late), [(0, 1, vec![letter])]);
    spoilt(&format!("{row}{}", state("replayed"))).fine();
    spoilt(&state("discarded")).fine();
    assert_eq!(spoilt(&state("replayed")).only("lost", &["totals"]), [(0, 1, vec![letter])]);
}

#[test]
fn a_deleted_dead_letter_is_lost() {
    let letter = Stage::shared().letters(2)[1];
    let verified = spoilt(&format!("DELETE FROM tidemill.dead_letter WHERE partition = 2 AND \"offset\" = {letter}"));
    assert_eq!(verified.only("lost", &["totals"]), [(2, 1, vec![letter])]);
}

#[test]
fn rows_of_records_that_are_not_in_the_log_are_phantoms() {
    let stage = Stage::shared();
    let seen: Vec<i64> = stage.log.iter().filter(|r| r.partition == 0).map(|r| r.offset).collect();
    let aborted = (0..stage.marks[&0]).find(|o| !seen.contains(o)).expect("a marker or an aborted record");
    let row = |partition: i32, offset: i64| {
        format!(
            "INSERT INTO scores SELECT (jsonb_populate_record(s, jsonb_build_object('offset', {offset}, 'partition', {partition}))).*
             FROM scores s WHERE partition = 0 AND \"offset\" = {};",
            stage.rows(0)[0]
        )
    };
    let late = ["totals", "out_of_order"];
    assert_eq!(spoilt(&row(0, aborted)).only("phantom", &late), [(0, 1, vec![aborted])]);
    let mark = stage.marks[&1];
    assert_eq!(spoilt(&row(1, mark + 3)).only("above_mark", &late), [(1, 1, vec![mark + 3])]);
    let verified = spoilt(&row(PARTITIONS, 5));
    assert_eq!((verified.code, verified.json()["strays"].as_u64()), (1, Some(1)), "{}", verified.text);
}

#[test]
fn a_mark_that_was_raised_by_hand_loses_what_nobody_read() {
    let stage = Stage::shared();
    let ends = stage.site.kafka.end_offsets(&stage.site.topic);
    let sql: String = ends
        .iter()
        .map(|(p, end)| format!("UPDATE tidemill.progress SET next_offset = {end} WHERE partition = {p};"))
        .collect();
    let lost = spoilt(&sql).only("lost", &[]);
    assert_eq!(lost.iter().map(|l| l.1).sum::<u64>(), UNREAD);
    for (partition, count, offsets) in lost {
        let (mark, end) = (stage.marks[&partition], ends[&partition]);
        assert_eq!(count as i64, end - mark);
        assert_eq!(offsets, (mark..end).take(20).collect::<Vec<_>>(), "twenty are named, all are counted");
    }
    let sql = format!("UPDATE tidemill.progress SET next_offset = {} WHERE partition = 1", ends[&1] + 5);
    assert_eq!(spoilt(&sql).only("mark_beyond_log", &["lost"]), [(1, 1, vec![ends[&1] + 5])]);
}

#[test]
fn p2_a_commit_above_the_mark_is_seen() {
    let stage = Stage::shared();
    let mark = stage.marks[&2];
    for (group, offset) in [("verify-as-far", mark), ("verify-too-far", mark + 1)] {
        stage.site.kafka.commit(group, &stage.site.topic, &[(2, offset)]);
        let site = stage.copy(&format!("UPDATE tidemill.source SET group_id = '{group}'"));
        let verified = verify(&site, &[], &[SKIP, &format!("kafka.group={group}")]);
        if offset > mark {
            assert_eq!(verified.only("commit_before_durable", &[]), [(2, 1, vec![mark + 1])]);
        } else {
            verified.fine();
        }
    }
}

#[test]
fn p2_a_commit_above_a_mark_that_an_operator_set_back_is_no_finding() {
    let stage = Stage::shared();
    let (mark, to) = (stage.marks[&1], stage.marks[&1] - 5);
    let back = |from: i64| {
        format!(
            "UPDATE tidemill.progress SET next_offset = {to} WHERE partition = 1;
             DELETE FROM scores WHERE partition = 1 AND \"offset\" >= {to};
             DELETE FROM tidemill.dead_letter WHERE partition = 1 AND \"offset\" >= {to};
             INSERT INTO tidemill.operation (client, command, reason, pipeline, source, partition, from_offset, to_offset)
               SELECT 'test', 'set', 'again', 'fraud', source, partition, {from}, {to} FROM tidemill.progress WHERE partition = 1"
        )
    };
    let json = spoilt(&back(mark)).fine();
    let notes = json["partitions"][1]["notes"].to_string();
    assert!(notes.contains(&format!("our commit of {mark}")) && notes.contains("set the mark back"), "{notes}");
    // That an operator went back once explains no commit beyond where the mark ever was.
    assert_eq!(spoilt(&back(mark - 1)).only("commit_before_durable", &[]), [(1, 1, vec![mark])]);
}

#[test]
fn p3_a_row_that_became_visible_after_later_ones_is_named() {
    let late = Stage::shared().rows(0)[5];
    let verified = spoilt(&format!("UPDATE scores SET key = key WHERE partition = 0 AND \"offset\" = {late}"));
    assert_eq!(verified.only("out_of_order", &[]), [(0, 1, vec![late])]);
}

#[test]
fn changed_skip_rules_are_no_loss_and_hide_none() {
    let stage = Stage::shared();
    let json = verify(&stage.copy(""), &[], &[]).fine();
    assert!(json["partitions"][0]["notes"][0].as_str().unwrap().starts_with("policy changed?"), "{json}");
    // Without the rules a lost row cannot be told from the skipped ones, but it is not overlooked.
    let gone = stage.rows(1)[7];
    let site = stage.copy(&format!("DELETE FROM scores WHERE partition = 1 AND \"offset\" = {gone}"));
    let lost = verify(&site, &[], &[]).only("lost", &["totals"]);
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].0, 1);
}

#[test]
fn totals_that_were_changed_are_seen() {
    let verified =
        spoilt("UPDATE tidemill.progress SET stored = stored + 1, skipped = skipped - 1 WHERE partition = 1");
    assert_eq!(verified.only("totals", &[]).len(), 2);
}
