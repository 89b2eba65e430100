//! Verifying while processes write, join and leave, and after retention: no false alarm.

use std::thread;
use std::time::Duration;

use crate::site::Site;
use crate::stage::SKIP;
use crate::stage::verify;
use crate::support::signal::Signal;

#[test]
fn a_live_system_raises_no_false_alarm() {
    let site = Site::shared("live", 4);
    let stream = site.stream();
    let first = site.ready("a", &[SKIP]);
    let mut second = None;
    let mut judged = vec![];
    for round in 0..6 {
        if round == 2 {
            second = Some(site.daemon("b", &[SKIP]));
        }
        if round == 5 {
            first.signal(Signal::Kill);
        }
        let verified = verify(&site, &[], &[SKIP]);
        let json = verified.fine();
        assert!(json["not_checked"][0].as_str().unwrap().contains("track_commit_timestamp"), "{}", verified.text);
        judged.push(verified.sum("records"));
        thread::sleep(Duration::from_millis(200));
    }
    assert!(judged.is_sorted() && judged[5] > judged[0], "it was written meanwhile: {judged:?}");
    let sent = stream.stop();
    site.settle();
    let verified = verify(&site, &[], &[SKIP]);
    verified.fine();
    assert_eq!(verified.sum("records"), sent.len() as u64);
    drop(second);

    // Retention: rows below the log's beginning cannot be judged, and are counted as such.
    let marks = site.marks();
    let cut = marks[&0] / 2;
    site.kafka.delete_records(&site.topic, 0, cut);
    let verified = verify(&site, &[], &[SKIP]);
    let json = verified.fine();
    let below: u64 =
        site.sql(&format!("SELECT count(*) FROM scores WHERE partition = 0 AND \"offset\" < {cut}")).parse().unwrap();
    assert!(json["partitions"][0]["not_judged"].as_u64().unwrap() >= below, "{}", verified.text);
    // What was pruned there is no loss; what is missing above it is.
    site.sql(&format!("DELETE FROM scores WHERE partition = 0 AND \"offset\" < {}", cut / 2));
    let json = verify(&site, &[], &[SKIP]).fine();
    assert!(json["partitions"][0]["notes"][0].as_str().unwrap().contains("pruned"), "{json}");
    site.sql(&format!(
        "DELETE FROM scores WHERE partition = 0 AND \"offset\" = (SELECT min(\"offset\") FROM scores WHERE partition = 0 AND \"offset\" >= {cut})"
    ));
    assert_eq!(verify(&site, &[], &[SKIP]).only("lost", &[])[0].1, 1);
}

#[test]
fn a_pipeline_that_began_at_the_end_has_lost_nothing() {
    let site = Site::shared("late", 2);
    site.produce(300);
    let mut daemon = site.ready("a", &["kafka.start_from=latest"]);
    crate::site::poll("both partitions to be claimed", crate::site::LONG, || (site.marks().len() == 2).then_some(()));
    site.produce(200);
    site.settle();
    daemon.signal(Signal::Term);
    assert!(daemon.wait(crate::site::LONG).success());
    let verified = verify(&site, &[], &[]);
    verified.fine();
    assert_eq!((verified.sum("before_start"), verified.sum("records")), (300, 500), "{}", verified.text);
    verify(&site, &["--windows", "1"], &[]).fine();
    // The first row of all is missed, though it borders on what was never read.
    site.sql("DELETE FROM scores WHERE partition = 0 AND \"offset\" = (SELECT min(\"offset\") FROM scores WHERE partition = 0)");
    assert_eq!(verify(&site, &[], &[]).only("lost", &["totals"])[0].1, 1);
}
