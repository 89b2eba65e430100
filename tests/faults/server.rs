//! Postgres servers that restart, crash, run out of room for their log, and hand over to a standby.

use std::time::Duration;

use crate::load::Load;
use crate::load::kafka;
use crate::site::LONG;
use crate::site::Site;
use crate::site::poll;
use crate::site::quick_postgres;
use crate::support::daemon::Daemon;
use crate::support::postgres::Postgres;
use crate::support::postgres::Setup;
use crate::support::small_disk::SmallDisk;
use crate::support::standby::Standby;

fn restarts(daemon: &Daemon) -> f64 {
    daemon.metric_with("tidemill_writer_mark_misses_total", &["verdict=\"restart\""]).unwrap_or(0.0)
}

fn quick() -> Setup {
    Setup { fsync: false, settings: vec!["max_connections=300".into()], ..Setup::default() }
}

#[test]
fn d1_d2_a_server_that_restarts_or_crashes_is_waited_for() {
    let server = quick_postgres();
    let site = Site::on(kafka(), &server, "d1", 2);
    site.migrate();
    let load = Load::on(&site, &[]);
    for stop in [Postgres::stop_fast, Postgres::stop_immediate, Postgres::kill] {
        stop(&server);
        server.start_again();
        load.more();
    }
    // One session dies by SIGKILL: the server takes all of them down and recovers.
    let pid = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tidemill' LIMIT 1";
    let pid = poll("a session of ours", LONG, || Some(site.sql(pid)).filter(|p| !p.is_empty()));
    assert!(std::process::Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap().success());
    poll("the server to recover", LONG, || server.try_psql("postgres", "SELECT 1").ok());
    load.more();
    assert_eq!(restarts(&load.settled()), 0.0, "nothing that was confirmed was lost");
}

#[test]
#[ignore = "slow; make faults"]
fn d7_a_server_without_room_for_its_log_is_waited_for() {
    let disk = SmallDisk::new(64);
    let (wal, settings) = (disk.folder("wal"), vec!["max_connections=100".into(), "min_wal_size=2MB".into()]);
    let initdb = vec!["--wal-segsize=1".into(), "-X".into(), wal.display().to_string()];
    let server = Postgres::with(Setup { fsync: false, settings, initdb });
    let site = Site::on(kafka(), &server, "d7", 2);
    site.migrate();
    let mut load = Load::on(&site, &[]);
    disk.fill();
    load.told("");
    poll("the server to panic", LONG, || server.try_psql("postgres", "SELECT 1").is_err().then_some(()));
    disk.free();
    server.stop_immediate();
    server.start_again();
    load.more();
    load.settled();
}

/// A site on a primary whose standby follows; its processes know both servers.
fn pair<'a>(name: &str, primary: &'a Postgres, standby: &Standby) -> Site<'a> {
    let mut site = Site::on(kafka(), primary, name, 2);
    let (first, second) = (primary.port(), standby.postgres.port());
    site.url = format!("postgres://postgres@127.0.0.1:{first},127.0.0.1:{second}/{}", site.database);
    site.migrate();
    site
}

#[test]
fn d3_d21_a_synchronous_standby_goes_comes_back_and_takes_over_with_everything() {
    let primary = quick_postgres();
    let standby = Standby::of(&primary, quick());
    let site = pair("d3", &primary, &standby);
    Standby::synchronous(&primary, true);
    let mut load = Load::on(&site, &["postgres.statement_timeout=1s"]);

    standby.pause();
    // Commits wait for it. Ended by the limit they are done here alone, which the server calls a success.
    std::thread::sleep(Duration::from_secs(3));
    standby.resume(&primary);
    load.more();

    primary.stop_immediate();
    standby.promote();
    load.daemon.wait_until_ready(LONG);
    load.more();
    let here = pair_after(&site, &standby);
    let load = load.looked_at(&here);
    assert_eq!(restarts(&load.settled()), 0.0, "nothing that was confirmed was lost");
}

#[test]
fn d4_the_lost_tail_of_an_asynchronous_standby_is_read_again() {
    let primary = quick_postgres();
    let standby = Standby::of(&primary, quick());
    let site = pair("d4", &primary, &standby);
    let mut load = Load::on(&site, &["intake.reclaim_after=200ms"]);
    let rows =
        |server: &Postgres| server.psql(&site.database, "SELECT count(*) FROM public.scores").parse::<u64>().unwrap();
    poll("the standby to have rows", LONG, || (rows(&standby.postgres) > 100).then_some(()));
    standby.pause();
    load.more();
    load.more();
    let had = rows(&primary);
    primary.stop_immediate();
    let kept = rows(&standby.postgres);
    assert!(kept + 100 < had, "{had} rows, {kept} of them on the standby: nothing is lost, so nothing is shown");
    standby.promote();
    load.daemon.wait_until_ready(LONG);
    poll("the lost rows to be made again", LONG, || (rows(&standby.postgres) >= had).then_some(()));
    let here = pair_after(&site, &standby);
    let load = load.looked_at(&here);
    assert!(restarts(&load.settled()) > 0.0);
}

/// The same pipeline, looked at on the server that took over.
fn pair_after<'a>(site: &Site<'_>, standby: &'a Standby) -> Site<'a> {
    Site {
        kafka: kafka(),
        postgres: &standby.postgres,
        topic: site.topic.clone(),
        database: site.database.clone(),
        brokers: site.brokers.clone(),
        url: site.url.clone(),
    }
}
