//! Faults of Postgres: that they happen, and that they end.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::connect;
use crate::postgres;
use crate::rows;
use crate::support::postgres::Postgres;
use crate::support::postgres::Setup;
use crate::support::proxy::Fault;
use crate::support::proxy::Proxy;
use crate::support::psql::Psql;
use crate::support::psql::Terminator;
use crate::support::psql::crowd;
use crate::support::psql::deadlock;
use crate::support::psql::lock_table;
use crate::support::psql::read_only;
use crate::support::psql::require_password;
use crate::support::small_disk::SmallDisk;
use crate::support::standby::Standby;
use crate::support::wait::until;

const LONG: Duration = Duration::from_secs(40);

fn quick(settings: &[&str]) -> Postgres {
    let settings = settings.iter().map(|s| (*s).to_owned()).collect();
    Postgres::with(Setup { fsync: false, settings, ..Setup::default() })
}

#[tokio::test]
async fn a_raised_error_stands_for_the_statement_and_ends_its_transaction() {
    let proxy = Proxy::postgres(postgres());
    connect(postgres()).await.batch_execute("CREATE TABLE raised (n int8)").await.unwrap();
    let mut client = connect(proxy.address()).await;
    proxy.on_statements("into raised", 1, 2, Fault::Error("53100"));
    let insert = client.prepare("INSERT INTO raised VALUES ($1)").await.unwrap();
    for (number, fails) in [(1_i64, false), (2, true), (3, true), (4, false)] {
        let told = client.execute(&insert, &[&number]).await;
        assert_eq!(told.err().and_then(|e| e.code().cloned()), fails.then_some(SqlState::DISK_FULL));
    }
    assert_eq!(rows("raised").await, 2);

    // What was pipelined behind it in the same transaction is undone by the server, as after a real error.
    proxy.on_statement("into raised", 0, Fault::Error("40001"));
    let transaction = client.transaction().await.unwrap();
    let (first, second) = (5_i64, 6_i64);
    let (params, others) = ([&first as &(dyn tokio_postgres::types::ToSql + Sync)], [&second as _]);
    let (refused, behind) = tokio::join!(transaction.execute(&insert, &params), transaction.execute(&insert, &others));
    assert_eq!(refused.unwrap_err().code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE));
    assert_eq!(behind.unwrap_err().code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    let _ = transaction.commit().await;
    proxy.on_statement("insert into raised values (7)", 0, Fault::Error("25006"));
    let told = client.batch_execute("INSERT INTO raised VALUES (7)").await;
    assert_eq!(told.unwrap_err().code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
    client.batch_execute("INSERT INTO raised VALUES (8)").await.unwrap();
    assert_eq!((rows("raised").await, proxy.fired()), (3, 4));
}

#[test]
fn a_small_disk_fills_up_and_is_freed() {
    let disk = SmallDisk::new(24);
    let postgres = quick(&[]);
    let space = disk.folder("space");
    postgres.psql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", space.display()));
    postgres.psql("postgres", "CREATE TABLE much (t text) TABLESPACE small");
    let insert = "INSERT INTO much SELECT repeat('x', 1000) FROM generate_series(1, 1000)";
    postgres.psql("postgres", insert);
    disk.fill();
    let told = postgres.try_psql("postgres", insert).unwrap_err();
    assert!(told.contains("No space left on device"), "{told}");
    disk.free();
    postgres.psql("postgres", insert);
    assert_eq!(postgres.psql("postgres", "SELECT count(*) FROM much"), "2000");
}

#[test]
fn a_standby_takes_over_without_what_it_did_not_see() {
    let primary = quick(&[]);
    primary.psql("postgres", "CREATE TABLE t (n int8); INSERT INTO t VALUES (1)");
    let standby = Standby::of(&primary, Setup { fsync: false, ..Setup::default() });
    let seen = |n: &str| {
        let count = || standby.postgres.try_psql("postgres", "SELECT count(*) FROM t").ok();
        until("the standby to have it", LONG, || (count().as_deref() == Some(n)).then_some(()));
    };
    seen("1");
    Standby::synchronous(&primary, true);
    primary.psql("postgres", "INSERT INTO t VALUES (2)");
    seen("2");
    Standby::synchronous(&primary, false);
    standby.pause();
    primary.psql("postgres", "INSERT INTO t VALUES (3)");
    primary.stop_immediate();
    standby.promote();
    standby.postgres.psql("postgres", "INSERT INTO t VALUES (4)");
    seen("3");
    assert_eq!(standby.postgres.psql("postgres", "SELECT string_agg(n::text, ',' ORDER BY n) FROM t"), "1,2,4");
}

#[test]
fn other_peoples_sessions_disturb_and_are_gone() {
    let postgres = quick(&["max_connections=12", "superuser_reserved_connections=0", "deadlock_timeout=200ms"]);
    postgres.psql("postgres", "CREATE TABLE a (n int8); CREATE TABLE b (n int8); INSERT INTO a VALUES (1)");

    let held = lock_table(&postgres, "postgres", "a");
    let told = postgres.try_psql("postgres", "SET lock_timeout = '100ms'; SELECT * FROM a").unwrap_err();
    assert!(told.contains("lock timeout"), "{told}");
    drop(held);
    assert_eq!(postgres.psql("postgres", "SET lock_timeout = '10s'; SELECT * FROM a"), "1");

    let caught = std::thread::scope(|scope| {
        let maker = scope.spawn(|| deadlock(&postgres, "postgres", "SELECT * FROM a FOR UPDATE", "b"));
        let two = "BEGIN; INSERT INTO b VALUES (1); UPDATE a SET n = 2; COMMIT";
        let told = until("a victim", LONG, || postgres.try_psql("postgres", two).err());
        maker.join().unwrap();
        told
    });
    assert!(caught.contains("deadlock detected"), "{caught}");

    let all = crowd(&postgres, "postgres");
    assert!(all.len() > 5, "{}", all.len());
    let told = postgres.try_psql("postgres", "SELECT 1").unwrap_err();
    assert!(told.contains("too many clients"), "{told}");
    drop(all);
    until("a connection", LONG, || postgres.try_psql("postgres", "SELECT 1").ok());
}

#[test]
fn a_server_is_made_read_only_asks_for_a_password_ends_sessions_and_is_killed() {
    let postgres = quick(&[]);
    let database = postgres.create_database();
    postgres.psql(&database, "CREATE TABLE t (n int8)");
    read_only(&postgres, &database, true);
    assert!(postgres.try_psql(&database, "INSERT INTO t VALUES (1)").unwrap_err().contains("read-only"));
    read_only(&postgres, &database, false);
    postgres.psql(&database, "INSERT INTO t VALUES (1)");

    let mut session = Psql::open(&postgres, &database);
    let terminator = Terminator::start(&postgres, &database, Duration::from_millis(10));
    assert_eq!(session.rest_after("SELECT pg_sleep(20)"), None, "it was ended");
    assert!(terminator.stop() >= 1);

    postgres.psql("postgres", "CREATE ROLE guest LOGIN PASSWORD 'old'");
    require_password(&postgres, "guest");
    let connect = |password: &str| {
        let url = format!("postgres://guest:{password}@127.0.0.1:{}/{database}", postgres.port());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { tokio_postgres::connect(&url, tokio_postgres::NoTls).await.map(drop) })
    };
    until("the rule to hold", LONG, || connect("wrong").is_err().then_some(()));
    connect("old").unwrap();

    postgres.kill();
    assert!(postgres.try_psql(&database, "SELECT 1").is_err());
    postgres.start_again();
    assert_eq!(postgres.psql(&database, "SELECT count(*) FROM t"), "1");
}
