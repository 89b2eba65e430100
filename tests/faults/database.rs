//! A Postgres that is there and refuses: each refusal is waited for in words that name the way out, and work goes on by itself.

use std::time::Duration;

use crate::load::Load;
use crate::load::postgres;
use crate::load::site;
use crate::site::LONG;
use crate::site::Site;
use crate::site::poll;
use crate::site::quick_postgres;
use crate::support::postgres::Postgres;
use crate::support::postgres::Setup;
use crate::support::proxy::Fault;
use crate::support::psql::Psql;
use crate::support::psql::Terminator;
use crate::support::psql::crowd;
use crate::support::psql::deadlock;
use crate::support::psql::end_sessions;
use crate::support::psql::lock_table;
use crate::support::psql::read_only;
use crate::support::psql::require_password;

/// A role that may do what `run` needs, and nothing else; the grants are those of docs/operations.md.
const ROLE: &str = "CREATE ROLE ROLE_NAME LOGIN PASSWORD 'first';
    GRANT USAGE ON SCHEMA tidemill, public TO ROLE_NAME;
    GRANT SELECT, INSERT, UPDATE ON tidemill.source, tidemill.progress TO ROLE_NAME;
    GRANT SELECT, INSERT ON tidemill.model TO ROLE_NAME;
    GRANT INSERT ON tidemill.dead_letter TO ROLE_NAME;
    GRANT SELECT ON tidemill.acceptance TO ROLE_NAME;
    GRANT SELECT, INSERT, UPDATE, DELETE ON tidemill.attempt TO ROLE_NAME;
    GRANT INSERT ON public.scores TO ROLE_NAME";

fn ends_sessions(site: &Site<'_>) {
    end_sessions(site.postgres, &site.database);
}

#[test]
fn d5_a_read_only_server_is_waited_for() {
    let site = site("d5", 2);
    let mut load = Load::on(&site, &[]);
    read_only(site.postgres, &site.database, true);
    load.told("25006");
    read_only(site.postgres, &site.database, false);
    load.more();
    load.settled();
}

#[test]
fn d8_a_table_that_a_migration_locks_is_waited_for() {
    let site = site("d8", 2);
    let mut load = Load::on(&site, &["postgres.lock_timeout=500ms"]);
    let held = lock_table(site.postgres, &site.database, "public.scores");
    load.told("55P03");
    drop(held);
    load.more();
    load.settled();
}

#[test]
fn d9_a_deadlock_is_tried_again() {
    let site = site("d9", 2);
    let load = Load::on(&site, &[]);
    deadlock(site.postgres, &site.database, "SELECT * FROM tidemill.progress FOR UPDATE", "public.scores");
    poll("the victim to say so", LONG, || load.daemon.log().contains("40P01").then_some(()));
    load.more();
    load.settled();
}

#[test]
fn d10_too_many_connections_are_waited_for_with_no_more_of_our_own() {
    let settings = ["max_connections=30", "superuser_reserved_connections=0"].map(String::from).to_vec();
    let server = Postgres::with(Setup { fsync: false, settings, ..Setup::default() });
    let site = Site::on(crate::load::kafka(), &server, "d10", 2);
    site.migrate();
    let (proxy, through) = site.proxy();
    let mut load = Load::on(&site, &[&through]);
    proxy.down();
    load.told("cannot connect");
    let mut all = crowd(&server, &site.database);
    assert!(all.len() > 10, "{} connections", all.len());
    proxy.accept();
    load.told("53300");
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidemill'";
    assert_eq!(all[0].run(ours), "0");
    drop(all);
    load.more();
    assert!(site.sql(ours).parse::<u32>().unwrap() <= 5, "as many as the plan says");
    load.settled();
}

#[test]
fn d11_a_statement_that_takes_too_long_is_tried_again() {
    let site = site("d11", 2);
    let mut load = Load::on(&site, &["postgres.statement_timeout=1s"]);
    site.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(5); RETURN NULL; END';
         CREATE TRIGGER slow AFTER INSERT ON public.scores FOR EACH STATEMENT EXECUTE FUNCTION slow()",
    );
    load.told("57014");
    site.sql("DROP TRIGGER slow ON public.scores");
    load.more();
    load.settled();
}

#[test]
fn d14_a_column_that_is_dropped_and_added_again_is_waited_for() {
    let site = site("d14", 2);
    let mut load = Load::on(&site, &[]);
    site.sql("ALTER TABLE public.scores RENAME COLUMN payment_id TO old_id");
    load.told("payment_id");
    site.sql("ALTER TABLE public.scores DROP COLUMN old_id CASCADE");
    site.sql("ALTER TABLE public.scores ADD COLUMN payment_id text");
    load.more();
    load.settled();
}

#[test]
fn d18_d19_a_grant_and_a_password_that_are_taken_and_given_again() {
    let server = quick_postgres();
    let mut site = Site::on(crate::load::kafka(), &server, "d18", 2);
    site.migrate();
    site.sql(&ROLE.replace("ROLE_NAME", "runner"));
    require_password(&server, "runner");
    site.url = format!("postgres://runner:wrong@127.0.0.1:{}/{}", server.port(), site.database);
    let mut refused = site.daemon("refused", &[]);
    assert_eq!(refused.wait(LONG).code(), Some(2), "at start somebody is there to mend it");
    assert!(refused.log().contains("check postgres.user and postgres.password"));
    assert!(!refused.log().contains("wrong"));

    site.url = site.url.replace(":wrong@", ":first@");
    let mut load = Load::on(&site, &[]);
    site.sql("REVOKE INSERT ON public.scores FROM runner");
    assert!(load.told("42501").contains("grant"), "the way out is named");
    site.sql("GRANT INSERT ON public.scores TO runner");
    load.more();

    site.sql("ALTER ROLE runner PASSWORD 'second'");
    ends_sessions(&site);
    load.told("28P01");
    site.sql("ALTER ROLE runner PASSWORD 'first'");
    load.more();
    load.settled();
}

#[test]
#[ignore = "slow; make faults"]
fn d20_a_database_that_is_renamed_away_is_waited_for() {
    let site = site("d20", 2);
    let mut load = Load::on(&site, &[]);
    let (here, away) = (&site.database, site.database.clone() + "_away");
    let rename = |from: &str, to: &str| {
        poll("the database to have no session", LONG, || {
            end_sessions(postgres(), from);
            postgres().try_psql("postgres", &format!("ALTER DATABASE {from} RENAME TO {to}")).ok()
        });
    };
    rename(here, &away);
    load.told("3D000");
    rename(&away, here);
    load.more();
    load.settled();
}

/// Errors that say nothing against a record: each is raised a few times, and whatever it is called, nothing is dead-lettered for it.
#[test]
fn p5_no_error_of_the_server_that_is_not_about_data_costs_a_record() {
    let codes = [
        "40001", "40P01", "53000", "53100", "53200", "53400", "55P03", "57014", "58000", "58030", "XX000", "XX001",
        "XX002", "0A000", "26000", "42P05", "25P02", "25006", "42P01", "42703", "42501", "3F000", "F0000", "99999",
    ];
    let site = site("p5-codes", 2);
    let (proxy, through) = site.proxy();
    let sets = ["writer.retry.first=10ms", "writer.retry.cap=50ms", &through];
    let mut load = Load::on(&site, &sets);
    for code in codes {
        let fired = proxy.fired();
        proxy.on_statements("with fence", 0, 2, Fault::Error(code));
        poll(&format!("{code} to be raised twice"), LONG, || (proxy.fired() == fired + 2).then_some(()));
    }
    load.daemon.wait_until_ready(LONG);
    load.more();
    load.settled();
}

#[test]
fn d27_sessions_that_are_ended_all_the_time_leak_nothing_and_double_nothing() {
    let site = site("d27", 2);
    let load = Load::on(&site, &["writer.retry.cap=100ms"]);
    let terminator = Terminator::start(site.postgres, &site.database, Duration::from_millis(100));
    std::thread::sleep(Duration::from_secs(5));
    let ended = terminator.stop();
    assert!(ended >= 5, "{ended} sessions were ended");
    load.more();
    let mut watcher = Psql::open(site.postgres, &site.database);
    let ours =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tidemill'";
    assert!(watcher.run(ours).parse::<u32>().unwrap() <= 5, "as many as the plan says");
    load.settled();
}
