//! What is looked at: parts of the log, other tables, and what cannot be looked at.

use tidemill::domain::windows::hash;

use crate::stage::SKIP;
use crate::stage::Stage;
use crate::stage::verify;

#[test]
fn only_what_is_asked_for_is_judged() {
    let stage = Stage::shared();
    let gone = stage.rows(1)[100];
    let site = stage.copy(&format!("DELETE FROM scores WHERE partition = 1 AND \"offset\" = {gone}"));
    let (before, behind) = (gone.to_string(), (gone + 1).to_string());
    for (arguments, code) in [
        (&["--to", &before][..], 0),
        (&["--from", &behind], 0),
        (&["--from", &before, "--to", &behind], 1),
        (&["--partition", "0"], 0),
        (&["--partition", "1", "--topic", &site.topic], 1),
        (&["--windows", "1"], 1),
        (&["--since", "1h"], 1),
        (&["--since", "2100-01-01T00:00:00Z"], 0),
    ] {
        let verified = verify(&site, arguments, &[SKIP]);
        assert_eq!(verified.code, code, "{arguments:?}: {}", verified.text);
        if code == 1 {
            assert_eq!(verified.only("lost", &["totals"]), [(1, 1, vec![gone])]);
        }
    }
}

#[test]
fn a_renamed_table_with_named_sources_in_partitions_is_read() {
    let stage = Stage::shared();
    let site = stage.copy(
        "DROP VIEW scores_readable;
         CREATE SCHEMA mine;
         CREATE TABLE mine.results (LIKE scores) PARTITION BY LIST (partition);
         CREATE TABLE mine.first PARTITION OF mine.results FOR VALUES IN (0);
         CREATE TABLE mine.rest PARTITION OF mine.results DEFAULT;
         INSERT INTO mine.results SELECT * FROM scores ORDER BY \"offset\";
         DROP TABLE scores;
         ALTER TABLE mine.results RENAME \"offset\" TO \"At\";
         ALTER TABLE mine.results ALTER \"At\" TYPE numeric;
         ALTER TABLE mine.results ALTER source TYPE varchar(200);
         UPDATE mine.results SET source = (SELECT topic FROM tidemill.source)",
    );
    let columns = "table.columns={offset=\"At\"}";
    let verified = verify(&site, &[], &[SKIP, "table.name=mine.results", columns]);
    verified.fine();
    assert_eq!(verified.sum("rows"), (0..3).map(|p| stage.rows(p).len() as u64).sum::<u64>());
    let gone = stage.rows(0)[0];
    site.sql(&format!("DELETE FROM mine.results WHERE partition = 0 AND \"At\" = {gone}"));
    let verified = verify(&site, &[], &[SKIP, "table.name=mine.results", columns]);
    assert_eq!(verified.only("lost", &["totals"]), [(0, 1, vec![gone])]);
}

#[test]
fn rows_of_another_source_of_the_topic_are_not_judged_where_its_name_is_all_that_a_row_keeps() {
    let stage = Stage::shared();
    let named = "DROP VIEW scores_readable; ALTER TABLE scores ALTER source TYPE text;
        UPDATE scores SET source = (SELECT topic FROM tidemill.source);
        INSERT INTO tidemill.source (pipeline, cluster_id, topic, topic_id, group_id, partitions, retired_at)
          SELECT $who, partitions, $when FROM tidemill.source;";
    let other = "'second', cluster_id, topic, topic_id, 'second'";
    let old = "pipeline, cluster_id, topic, gen_random_uuid(), group_id";
    for (who, when, says) in [(other, "NULL", "pipeline second"), (old, "now()", "retired")] {
        let sql = named.replace("$who", who).replace("$when", when);
        let site = stage.copy(&sql);
        // A new transaction has rewritten all rows, so the order is as good as any.
        verify(&site, &[], &[SKIP]).fine();
        site.sql("INSERT INTO scores SELECT * FROM scores WHERE partition = 1 AND \"offset\" < 40");
        let verified = verify(&site, &[], &[SKIP]);
        assert_eq!(verified.code, 2, "{}", verified.text);
        for part in ["cannot be told apart", "column source", &site.topic, says] {
            assert!(verified.text.contains(part), "{part}: {}", verified.text);
        }
    }
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let stage = Stage::shared();
    let site = stage.copy("");
    for (sets, code, says) in [
        (&["table.columns={offset=false}"][..], 2, "keeps no partition or no offset"),
        (&["table.name=nowhere"], 2, "table nowhere does not exist"),
        (&["kafka.group=other"], 2, "two groups would share one position"),
        (&["postgres.url=postgres://postgres@127.0.0.1:1/x"], 4, "not done within 3 s"),
        (&["kafka.brokers=[\"127.0.0.1:1\"]"], 4, "not done within 3 s"),
    ] {
        let verified = verify(&site, &["--timeout", "3s"], sets);
        assert_eq!(verified.code, code, "{sets:?}: {}", verified.text);
        assert!(verified.text.contains(says), "{sets:?}: {}", verified.text);
    }
    let verified = verify(&site, &["--topic", "another"], &[]);
    assert!(verified.code == 2 && verified.text.contains("kafka.topics are"), "{}", verified.text);
    site.sql("CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA tidemill TO reader; GRANT SELECT ON tidemill.source, tidemill.progress TO reader");
    let url = format!("postgres.url={}", site.postgres.url_as("reader", &site.database));
    let verified = verify(&site, &[], &[&url]);
    assert!(verified.code == 2 && verified.text.contains("need SELECT"), "{}", verified.text);
}

#[test]
fn the_servers_hash_is_ours() {
    let site = &Stage::shared().site;
    let offsets = [0, 1, 2, 9_999, 10_000, 123_456_789, (1 << 31) - 1, 1 << 32, (1 << 40) + 7, i64::MAX, -1, i64::MIN];
    for offset in offsets {
        let found = site.sql(&format!("SELECT hashint8extended({offset}, 0)"));
        assert_eq!(found.parse::<i64>().map(|h| h as u64), Ok(hash(offset)), "{offset}");
    }
}

#[test]
fn nothing_is_written_and_no_group_is_joined() {
    let stage = Stage::shared();
    let site = stage.copy("");
    site.sql(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", site.database));
    let committed = site.kafka.committed(&site.topic, &site.topic);
    verify(&site, &[], &[SKIP]).fine();
    assert_eq!(site.kafka.committed(&site.topic, &site.topic), committed);
}
