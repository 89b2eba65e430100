//! W4, W8, P6: open outcomes, poison rows, restarts of the server, a table altered on the way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tidemill::adapters::postgres::connect::Database;
use tidemill::adapters::postgres::options::OnConflict;
use tidemill::adapters::postgres::options::PostgresOptions;
use tidemill::adapters::postgres::options::TableOptions;
use tidemill::adapters::postgres::options::Tls;
use tidemill::adapters::postgres::options::Url;
use tidemill::domain::lane::Epoch;
use tidemill::domain::scored::Group;
use tidemill::ports::Guilty;
use tidemill::ports::Sink;
use tidemill::ports::SinkFault;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

use crate::fixture::Fixture;
use crate::fixture::ME;
use crate::fixture::blank;
use crate::fixture::lane;
use crate::fixture::ready;
use crate::fixture::regroup;
use crate::fixture::run;
use crate::support::Postgres;
use crate::support::Setup;

/// Passes bytes on until `needle` comes from the client; then it lets the server work and cuts both sides, with the
/// answer lost, or with the request lost as well.
struct Cutter {
    needle: Mutex<Option<(Vec<u8>, bool)>>,
    armed: AtomicBool,
}

async fn cutter(server: u16) -> (u16, Arc<Cutter>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let cutter = Arc::new(Cutter { needle: Mutex::new(None), armed: AtomicBool::new(false) });
    let shared = cutter.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            tokio::spawn(pump(client, server, shared.clone()));
        }
    });
    (port, cutter)
}

async fn pump(mut client: TcpStream, mut server: TcpStream, cutter: Arc<Cutter>) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            n = client.read(&mut up) => {
                let Ok(n @ 1..) = n else { return };
                let found = cutter.needle.lock().unwrap().clone()
                    .filter(|(needle, _)| cutter.armed.load(Ordering::SeqCst) && up[..n].windows(needle.len().max(1)).any(|w| w == needle));
                if let Some((_, deliver)) = found {
                    cutter.armed.store(false, Ordering::SeqCst);
                    if deliver {
                        server.write_all(&up[..n]).await.unwrap();
                        // The server's answer shows that it is done; nobody gets it.
                        let _ = server.read(&mut down).await;
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                    return;
                }
                if server.write_all(&up[..n]).await.is_err() { return }
            }
            n = server.read(&mut down) => {
                let Ok(n @ 1..) = n else { return };
                if client.write_all(&down[..n]).await.is_err() { return }
            }
        }
    }
}

#[tokio::test]
async fn w4_a_lost_answer_is_ambiguous_and_repeating_the_group_is_safe() {
    // In the COPY form the needle is COMMIT; the statement form has the table's name in nothing but the parse, so it
    // is prepared first and then recognised by the dead letter's reason.
    for (form, needle) in [(1000, &b"bad_json"[..]), (0, b"COMMIT")] {
        for committed in [true, false] {
            let f = ready().await;
            let epoch = f.claim(lane(0)).await;
            let (port, cutter) = cutter(f.pg.port()).await;
            let url = Url::new(format!("postgres://postgres@127.0.0.1:{port}/{}", f.name));
            let options = PostgresOptions { url, ..f.options.clone() };
            let database = Database::new(&options, 2).unwrap();
            let mut sink = f.sink_of(ME, form, &database);
            let make = |from| {
                let mut r = run(lane(0), epoch, from, from + 5);
                r.records[0].dead = true;
                f.group(&[r])
            };
            assert_eq!(sink.store(&make(0)).await.unwrap().len(), 1);
            let group = make(5);
            *cutter.needle.lock().unwrap() = Some((needle.to_vec(), committed));
            cutter.armed.store(true, Ordering::SeqCst);
            let e = sink.store(&group).await.unwrap_err();
            assert_eq!(e.fault, SinkFault::Ambiguous, "form {form}: {e}");
            assert!(!cutter.armed.load(Ordering::SeqCst));
            let mark = sink.marks(&[lane(0)]).await.unwrap()[0].unwrap();
            assert_eq!(mark.next_offset, if committed { 10 } else { 5 });
            assert_eq!(sink.store(&group).await.unwrap().len(), usize::from(!committed));
            assert_eq!(f.sql("SELECT count(*), count(DISTINCT \"offset\"), max(\"offset\") FROM scores"), "8|8|9");
            assert_eq!(f.sql("SELECT count(*) FROM tidemill.dead_letter"), "2");
        }
    }
}

#[tokio::test]
async fn w4_a_connection_lost_before_commit_is_surely_not_stored() {
    let f = ready().await;
    let epoch = f.claim(lane(0)).await;
    let (client, connection) = tokio_postgres::connect(&f.pg.url(&f.name), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT * FROM tidemill.progress FOR UPDATE").await.unwrap();
    let mut sink = f.sink(0);
    let group = f.group(&[run(lane(0), epoch, 0, 5)]);
    let kill = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE application_name = 'tidemill' AND wait_event_type = 'Lock' AND datname = current_database()";
        client.query(sql, &[]).await.unwrap().len()
    };
    let (stored, killed) = tokio::join!(sink.store(&group), kill);
    assert_eq!(killed, 1);
    assert_eq!(stored.unwrap_err().fault, SinkFault::Transient);
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(sink.store(&group).await.unwrap().len(), 1, "over a new connection");
}

#[tokio::test]
async fn w8_a_lock_that_is_not_given_up_ends_in_lock_timeout() {
    let f = ready().await;
    let epoch = f.claim(lane(0)).await;
    let (client, connection) = tokio_postgres::connect(&f.pg.url(&f.name), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT * FROM tidemill.progress FOR UPDATE").await.unwrap();
    let limit = tidemill::domain::units::Millis(200);
    let database = Database::new(&PostgresOptions { lock_timeout: limit, ..f.options.clone() }, 1).unwrap();
    for form in [1000, 0] {
        let e = f.sink_of(ME, form, &database).store(&f.group(&[run(lane(0), epoch, 0, 5)])).await.unwrap_err();
        assert_eq!((e.fault, e.sqlstate.as_deref()), (SinkFault::Transient, Some("55P03")));
    }
}

/// Stores a group as a writer does: refused records become dead letters, then it is tried again.
async fn store_with_isolation(f: &Fixture, form: usize, mut group: Group) -> Vec<Guilty> {
    let mut sink = f.sink(form);
    let mut all = vec![];
    for _ in 0..4 {
        match sink.store(&group).await {
            Ok(moved) => {
                assert_eq!(moved.len(), group.moves.len());
                return all;
            }
            Err(e) => assert_eq!(e.fault, SinkFault::Data, "{e}"),
        }
        let guilty = sink.isolate(&group).await.unwrap();
        assert!(!guilty.is_empty());
        let mut pieces = group.pieces.clone();
        for g in &guilty {
            pieces[g.piece].refused.insert(g.record as u32, g.why.clone());
        }
        all.extend(guilty);
        group = regroup(pieces);
    }
    panic!("still refused");
}

#[tokio::test]
async fn p6_refused_rows_step_aside_and_their_neighbours_are_stored() {
    for form in [1000, 0] {
        let f = ready().await;
        f.sql("ALTER TABLE scores ADD CHECK (score < 100000), ADD CONSTRAINT one UNIQUE (key)");
        f.sql("CREATE TABLE known (label text PRIMARY KEY); INSERT INTO known VALUES ('ok')");
        f.sql(
            "ALTER TABLE scores ADD CONSTRAINT fk FOREIGN KEY (label) REFERENCES known DEFERRABLE INITIALLY DEFERRED",
        );
        let epoch = f.claim(lane(0)).await;
        let other = f.claim(lane(1)).await;
        let mut one = run(lane(0), epoch, 0, 300);
        one.records[17].score = 1e6;
        one.records[40].key = Some(b"k30".to_vec());
        one.records[250].label = b"unheard".to_vec();
        one.records[299].key =
            Some(vec![5; 20_000].iter().enumerate().map(|(i, _)| (i * 7919 % 251) as u8 ^ (i / 251) as u8).collect());
        // Text that no text column can hold never reaches the server.
        one.records[100].label = b"a\0b".to_vec();
        let mut two = run(lane(1), other, 300, 310);
        two.expected = 0;
        two.records[9].key = Some(b"k300".to_vec());
        let guilty = store_with_isolation(&f, form, f.group(&[one, two])).await;
        let found: BTreeMap<(usize, usize), &str> =
            guilty.iter().map(|g| ((g.piece, g.record), g.why.reason)).collect();
        let want = [
            ((0, 17), "check_violation"),
            ((0, 40), "unique_violation"),
            ((0, 250), "foreign_key_violation"),
            ((0, 299), "too_large"),
            ((1, 309), "unique_violation"),
        ];
        assert_eq!(found, BTreeMap::from(want), "form {form}");
        assert!(guilty.iter().any(|g| g.why.detail.contains("constraint one")));
        assert_eq!(f.sql("SELECT count(*) FROM scores"), "304");
        let dead = "SELECT string_agg(\"offset\" || ':' || stage || ':' || reason, ' ' ORDER BY \"offset\") FROM tidemill.dead_letter";
        assert_eq!(
            f.sql(dead),
            "17:write:check_violation 40:write:unique_violation 100:write:does_not_fit \
             250:write:foreign_key_violation 299:write:too_large 309:write:unique_violation"
        );
        assert_eq!(f.sql("SELECT sum(stored), sum(dead_lettered) FROM tidemill.progress"), "304|6");
        assert_eq!(f.sql("SELECT count(*) FROM tidemill.dead_letter WHERE detail ~ 'k30|unheard'"), "0", "no values");
    }
}

#[tokio::test]
async fn p6_with_conflicts_skipped_only_other_faults_are_guilty() {
    let o = TableOptions { on_conflict: OnConflict::Skip, unique_index: true, ..TableOptions::default() };
    let f = blank().ready(o).await;
    f.sql("ALTER TABLE scores ADD CHECK (score < 100000)");
    let epoch = f.claim(lane(0)).await;
    let mut one = run(lane(0), epoch, 0, 50);
    one.records[31].score = 1e6;
    let guilty = store_with_isolation(&f, 1000, f.group(&[one])).await;
    assert_eq!(guilty.iter().map(|g| g.record).collect::<Vec<_>>(), vec![31]);
    assert_eq!(f.sql("SELECT count(*) FROM scores"), "49");
}

#[tokio::test]
async fn what_a_trigger_says_of_a_row_is_not_repeated() {
    for (code, fault) in [
        ("P0002", SinkFault::Operator),
        ("55000", SinkFault::Operator),
        ("ZZ123", SinkFault::Transient),
        ("22000", SinkFault::Data),
    ] {
        let f = ready().await;
        f.sql(&format!(
            "CREATE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS
               $$BEGIN RAISE EXCEPTION 'card 4111 of %', NEW.label USING ERRCODE = '{code}'; END$$;
             CREATE TRIGGER t AFTER INSERT ON scores FOR EACH ROW EXECUTE FUNCTION speak()"
        ));
        let epoch = f.claim(lane(0)).await;
        for form in [1000, 0] {
            let e = f.sink(form).store(&f.group(&[run(lane(0), epoch, 0, 3)])).await.unwrap_err();
            assert_eq!((e.fault, e.sqlstate.as_deref()), (fault, Some(code)), "form {form}: {e}");
            assert!(!e.message.contains("4111") && e.message.contains(code), "form {form}: {e}");
        }
    }
}

#[tokio::test]
async fn w10_a_column_that_changed_its_type_is_not_copied_into() {
    let f = ready().await;
    let epoch = f.claim(lane(0)).await;
    let mut sink = f.sink(0);
    sink.store(&f.group(&[run(lane(0), epoch, 0, 5)])).await.unwrap();
    // Eight bytes like before: COPY BINARY would read the bits of a float as an integer.
    f.sql("DROP VIEW scores_readable; ALTER TABLE scores ALTER score TYPE bigint");
    let next = f.group(&[run(lane(0), epoch, 5, 9)]);
    assert_eq!(sink.store(&next).await.unwrap_err().fault, SinkFault::Contract);
    assert_eq!(f.sql("SELECT count(*) FROM scores"), "5");
    f.sql("ALTER TABLE scores DROP score");
    for form in [1000, 0] {
        assert_eq!(f.sink(form).store(&next).await.unwrap_err().fault, SinkFault::Contract);
    }
}

#[tokio::test]
async fn a_server_that_went_away_is_transient_and_acknowledged_rows_survive() {
    let pg = Arc::new(Postgres::start());
    let name = pg.create_database();
    let options = PostgresOptions { url: Url::new(pg.url(&name)), ..PostgresOptions::default() };
    let f = crate::fixture::Blank { pg: pg.clone(), name, options }.ready(TableOptions::default()).await;
    let epoch = f.claim(lane(0)).await;
    let mut sink = f.sink(1000);
    sink.store(&f.group(&[run(lane(0), epoch, 0, 5)])).await.unwrap();
    pg.stop_immediate();
    let next = f.group(&[run(lane(0), epoch, 5, 8)]);
    // The first call may still meet the old connection while it is closing.
    let faults = [sink.store(&next).await.unwrap_err().fault, sink.store(&next).await.unwrap_err().fault];
    assert!(matches!(faults, [SinkFault::Transient | SinkFault::Ambiguous, SinkFault::Transient]), "{faults:?}");
    assert!(f.progress(ME).claim(lane(0), Epoch(0)).await.is_err());
    pg.start_again();
    assert_eq!(sink.store(&next).await.unwrap().len(), 1);
    assert_eq!(f.sql("SELECT count(*), max(\"offset\") FROM scores"), "8|7");
}

#[tokio::test]
async fn tls_verifies_chain_and_name() {
    let dir = std::env::temp_dir().join(format!("tidemill-tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let made = std::process::Command::new("sh")
        .current_dir(&dir)
        .args(["-ec", "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout s.key -out s.csr
            printf 'subjectAltName=DNS:localhost' > ext
            openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out s.pem
            if [ $(id -u) = 0 ]; then chown postgres s.key; fi; chmod 600 s.key; chmod 711 ."])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| dir.join(name).display().to_string();
    let settings =
        vec!["ssl=on".into(), format!("ssl_cert_file={}", file("s.pem")), format!("ssl_key_file={}", file("s.key"))];
    let pg = Arc::new(Postgres::with(Setup { fsync: false, settings, ..Setup::default() }));
    let name = pg.create_database();
    let try_it = async |host: &str, ca: Option<&str>| {
        let url = Url::new(format!("postgres://postgres@{host}:{}/{name}", pg.port()));
        let ca_file = ca.map(|ca| dir.join(ca));
        let o = PostgresOptions { url, tls: Some(Tls::Require), ca_file, ..PostgresOptions::default() };
        let database = Database::new(&o, 1).map_err(|e| e.to_string())?;
        let lease = database.lease().await.map_err(|e| e.message)?;
        let row = lease.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
        Ok::<bool, String>(row.get(0))
    };
    assert_eq!(try_it("localhost", Some("ca.pem")).await, Ok(true));
    assert!(
        try_it("127.0.0.1", Some("ca.pem")).await.unwrap_err().contains("TLS"),
        "the name is not in the certificate"
    );
    assert!(try_it("localhost", None).await.is_err(), "the system does not know this authority");
    assert!(try_it("localhost", Some("s.key")).await.unwrap_err().contains("ca_file"));
    std::fs::remove_dir_all(&dir).unwrap();
}
