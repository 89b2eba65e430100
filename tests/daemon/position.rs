//! Where reading begins, and what happens when the log is not what the mark says (rules C4, J2, T6, promise P8).

use crate::site::LONG;
use crate::site::Site;
use crate::site::lanes;
use crate::site::poll;
use crate::site::reason;
use crate::site::reasons;
use crate::support::daemon::Daemon;
use crate::support::produce::Outcome;
use crate::support::produce::Sent;
use crate::support::produce::transactions;
use crate::support::signal::Signal;

fn stop(mut daemon: Daemon) {
    daemon.signal(Signal::Term);
    assert_eq!(daemon.wait(LONG).code(), Some(0));
}

/// Waits until so many partitions have a row.
fn claimed(site: &Site<'_>, partitions: usize) {
    poll("the first claims", LONG, || (site.marks().len() == partitions).then_some(()));
}

#[test]
fn c4_start_from_latest_holds_for_the_first_claim_only() {
    let site = Site::shared("c4-latest", 2);
    site.produce(200);
    let before = site.kafka.end_offsets(&site.topic);
    let _daemon = site.ready("only", &["kafka.start_from=latest"]);
    claimed(&site, 2);
    assert_eq!(site.marks(), before, "resolved and stored before anything is read");
    let mut sent = site.produce(100);
    site.settle();
    site.expect_exact(&sent);

    // A third partition, with records in it before anybody claims it.
    site.kafka.grow_topic(&site.topic, 3);
    sent.extend(site.produce(300));
    assert!(sent.iter().any(|s| s.partition == 2 && s.offset == 0));
    site.settle();
    site.expect_exact(&sent);
}

#[test]
fn c4_an_earlier_consumers_commit_is_adopted_and_a_lost_row_parks() {
    let site = Site::shared("c4-adopt", 2);
    let mut sent = site.produce(200);
    site.kafka.commit(&site.topic, &site.topic, &[(0, 30), (1, 40)]);
    sent.retain(|s| s.offset >= [30, 40][s.partition as usize]);
    let daemon = site.ready("adopts", &[]);
    site.settle();
    site.expect_exact(&sent);
    stop(daemon);
    let committed = site.kafka.committed(&site.topic, &site.topic);
    assert!(committed.values().all(|c| c.metadata.starts_with("tidemill uid=")), "{committed:?}");

    site.sql("DELETE FROM tidemill.progress WHERE partition = 1");
    let more = site.produce(100);
    let mut daemon = site.daemon("parks", &[]);
    let why = reason(&mut daemon, "partition: ");
    let want = [format!("{}[1]", site.topic), format!("offset {}", committed[&1].offset), "docs/operations.md".into()];
    assert!(want.iter().all(|w| why.contains(w)), "{why}");
    lanes(&daemon, "parked", 1);
    // The other goes on.
    let end = site.kafka.end_offsets(&site.topic)[&0];
    poll("the other partition to go on", LONG, || (site.marks().get(&0) == Some(&end)).then_some(()));
    sent.extend(more.into_iter().filter(|s| s.partition == 0));
    site.expect_exact(&sent);
    assert_eq!(site.marks().len(), 1, "nobody made a row for it");
    stop(daemon);
}

#[test]
fn j2_p8_what_retention_took_parks_its_partition_alone() {
    let site = Site::shared("p8-retention", 3);
    let daemon = site.ready("first", &[]);
    let mut sent = site.produce(300);
    site.settle();
    stop(daemon);
    let marks = site.marks();
    let more = site.produce(300);
    let end = site.kafka.end_offsets(&site.topic)[&1];
    site.kafka.delete_records(&site.topic, 1, end - 5);

    let mut daemon = site.daemon("second", &["intake.out_of_range_retry=1s"]);
    lanes(&daemon, "parked", 1);
    let why = reason(&mut daemon, "partition: ");
    assert!(why.contains(&format!("{}[1]", site.topic)) && why.contains(&format!("offset {}", marks[&1])), "{why}");
    let ends = site.kafka.end_offsets(&site.topic);
    let others = |p: &i32| *p != 1;
    poll("the others to go on", LONG, || {
        let now = site.marks();
        now.keys().filter(|p| others(p)).all(|p| now[p] == ends[p]).then_some(())
    });
    let kept = |s: &Sent| others(&s.partition);
    sent.extend(more.into_iter().filter(kept));
    site.expect_exact(&sent);
    assert_eq!(site.marks()[&1], marks[&1], "nothing is reset");
    assert_eq!(reasons(&daemon).len(), 1, "{:?}", reasons(&daemon));
    stop(daemon);
}

#[test]
fn t6_markers_at_the_end_do_not_keep_the_lag_up() {
    let site = Site::shared("t6", 2);
    let daemon = site.ready("only", &[]);
    transactions(site.kafka.bootstrap(), &site.topic, 0, &[(20, Outcome::Commit), (10, Outcome::Abort)]);
    transactions(site.kafka.bootstrap(), &site.topic, 1, &[(10, Outcome::Abort)]);
    // 20, a marker, 10 that nobody sees, a marker; 10 that nobody sees, a marker.
    // The coordinator answers before the markers are written.
    let ends = [(0, 32), (1, 11)].into();
    poll("the markers", LONG, || (site.kafka.end_offsets(&site.topic) == ends).then_some(()));
    site.settle();
    poll("a lag of 0", LONG, || (daemon.metric("tidemill_intake_lag_records") == Some(0.0)).then_some(()));
    poll("the group to be told", LONG, || {
        let told = site.kafka.committed(&site.topic, &site.topic);
        (told.len() == 2 && told[&0].offset == 32 && told[&1].offset == 11).then_some(())
    });
    assert_eq!(site.sql("SELECT count(*), sum(\"offset\") FROM public.scores"), "20|190");
    assert_eq!(site.sql("SELECT count(*) FROM tidemill.dead_letter"), "0");
}
