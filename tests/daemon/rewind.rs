//! A database that goes back in time, as a promoted standby or a restored backup does (rule W7).

use std::time::Duration;

use crate::site::Site;
use crate::site::poll;
use crate::support::daemon::Daemon;

/// Everything that a pipeline writes, beside a schema with a copy of it.
const KEEP: &str = "CREATE SCHEMA past; CREATE TABLE past.scores AS TABLE public.scores;
    CREATE TABLE past.dead AS TABLE tidemill.dead_letter; CREATE TABLE past.progress AS TABLE tidemill.progress";
/// The copy becomes the present, in one moment; then all sessions end, as they do when a standby takes over.
const GO_BACK: &str = "BEGIN; TRUNCATE public.scores, tidemill.dead_letter, tidemill.progress;
    INSERT INTO public.scores SELECT * FROM past.scores;
    INSERT INTO tidemill.dead_letter OVERRIDING SYSTEM VALUE SELECT * FROM past.dead;
    INSERT INTO tidemill.progress SELECT * FROM past.progress; COMMIT";
const END_SESSIONS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

fn restarts(daemon: &Daemon) -> f64 {
    daemon.metric_with("tidemill_writer_mark_misses_total", &["verdict=\"restart\""]).unwrap_or(0.0)
}

#[test]
fn w7_rows_of_a_database_that_went_back_are_made_again() {
    let site = Site::shared("w7", 3);
    let mut sent = site.produce(200);
    let daemon = site.ready("only", &["writer.verify_interval=1s", "intake.reclaim_after=200ms"]);
    site.settle();
    site.sql(KEEP);
    sent.extend(site.produce(300));
    site.settle();
    site.expect_exact(&sent);
    let rows = || site.sql("SELECT (SELECT count(*) FROM public.scores) + (SELECT count(*) FROM tidemill.dead_letter)");

    // Back behind what was stored, with its sessions ended, and again behind the claims, with none: only the row tells.
    for (past, sessions_end) in [("", true), ("UPDATE past.progress SET epoch = epoch - 1, owner = NULL", false)] {
        if !past.is_empty() {
            site.sql("TRUNCATE past.progress; INSERT INTO past.progress SELECT * FROM tidemill.progress");
            site.sql(
                "UPDATE past.progress p SET next_offset = (SELECT count(*) FROM (SELECT partition FROM past.scores
                UNION ALL SELECT partition FROM past.dead) a WHERE a.partition = p.partition), fingerprint = NULL",
            );
            site.sql(past);
        }
        let before = restarts(&daemon);
        site.sql(GO_BACK);
        assert_eq!(rows(), "200");
        if sessions_end {
            site.sql(END_SESSIONS);
        }
        poll("the rows to be made again", Duration::from_secs(20), || (rows() == "500").then_some(()));
        site.settle();
        site.expect_exact(&sent);
        assert!(restarts(&daemon) > before);
    }
    assert_eq!(daemon.metric("tidemill_intake_unaccounted_records"), Some(0.0));
}
