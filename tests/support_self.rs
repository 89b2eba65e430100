//! The services, faults and readers that other tests rely on do what they say.

mod support;

#[path = "support_self/detour.rs"]
mod detour;
#[path = "support_self/postgres.rs"]
mod postgres_faults;

use std::collections::BTreeMap;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use futures_util::SinkExt;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::CommitMode;
use rdkafka::consumer::Consumer;
use support::daemon;
use support::daemon::Daemon;
use support::daemon::Start;
use support::kafka::Committed;
use support::kafka::Kafka;
use support::kafka::client;
use support::produce;
use support::produce::Load;
use support::produce::Outcome;
use support::proxy::Fault;
use support::proxy::Proxy;
use support::proxy::Way;
use support::signal::Signal;
use tidemill::demo::payments::Payments;
use tidemill::demo::poison::Poison;
use tidemill::demo::postgres_cluster::Cluster;
use tidemill::demo::postgres_cluster::ClusterOptions;
use tokio_postgres::NoTls;

#[test]
fn what_is_produced_is_what_is_read() {
    let kafka = Kafka::shared();
    let topic = Kafka::unique("read");
    kafka.create_topic(&topic, 12, 1);
    let load = Load { records: 1_200, seed: 4, poisoned: 0.25 };
    let sent = produce::payments(kafka.bootstrap(), &topic, load);
    let kinds = produce::kinds(&sent);
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    assert_eq!(kinds.values().sum::<u64>(), 1_200);

    let read = kafka.read_all(&topic);
    assert_eq!(read.len(), sent.len());
    let mut stream = Payments::new(4).poisoned(0.25);
    let payloads: Vec<Vec<u8>> = (0..1_200).map(|_| stream.make().payload.to_vec()).collect();
    let mut ends: BTreeMap<i32, i64> = (0..12).map(|p| (p, 0)).collect();
    for (record, sent) in read.iter().zip(&sent) {
        assert_eq!((record.partition, record.offset), (sent.partition, sent.offset));
        assert_eq!(record.payload.as_deref(), Some(&payloads[sent.number as usize][..]));
        assert!(record.key.as_ref().is_some_and(|k| k.len() == 8));
        let kind = sent.poison.map_or("clean", Poison::name);
        assert_eq!(record.headers[0], (produce::KIND.into(), Some(kind.into())));
        assert_eq!(record.headers[1], (produce::NUMBER.into(), Some(sent.number.to_string().into_bytes())));
        ends.insert(record.partition, record.offset + 1);
    }
    assert_eq!(kafka.end_offsets(&topic), ends);
    assert!(kafka.committed("nobody", &topic).is_empty());
}

#[test]
fn transactions_and_deleted_records_leave_holes() {
    let kafka = Kafka::shared();
    let topic = Kafka::unique("holes");
    kafka.create_topic(&topic, 1, 1);
    let plan = [(5, Outcome::Commit), (3, Outcome::Abort), (2, Outcome::Commit)];
    produce::transactions(kafka.bootstrap(), &topic, 0, &plan);
    let offsets = |topic: &str| kafka.read_all(topic).iter().map(|r| r.offset).collect::<Vec<_>>();
    // 0-4, a marker, three aborted ones and their marker, then two more and the last marker.
    assert_eq!(offsets(&topic), [0, 1, 2, 3, 4, 10, 11]);
    assert_eq!(kafka.bounds(&topic)[&0], (0, 13));
    kafka.delete_records(&topic, 0, 4);
    assert_eq!(kafka.bounds(&topic)[&0], (4, 13));
    assert_eq!(offsets(&topic), [4, 10, 11]);

    kafka.delete_topic(&topic);
    kafka.create_topic(&topic, 2, 1);
    assert_eq!(kafka.end_offsets(&topic), BTreeMap::from([(0, 0), (1, 0)]));
}

#[test]
fn a_groups_commits_are_seen_from_outside() {
    let kafka = Kafka::shared();
    let topic = Kafka::unique("commits");
    kafka.create_topic(&topic, 3, 1);
    produce::payments(kafka.bootstrap(), &topic, Load { records: 60, seed: 8, poisoned: 0.0 });
    let consumer: BaseConsumer = client(kafka.bootstrap()).set("group.id", &topic).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 1, Offset::Offset(7)).unwrap();
    list.elements()[0].set_metadata("ours");
    consumer.commit(&list, CommitMode::Sync).unwrap();
    let seen = kafka.committed(&topic, &topic);
    assert_eq!(seen, BTreeMap::from([(1, Committed { offset: 7, metadata: "ours".into() })]));
}

#[test]
fn three_nodes_survive_the_loss_of_one() {
    let kafka = Kafka::start(3);
    kafka.create_topic("copies", 3, 3);
    let load = |seed| Load { records: 300, seed, poisoned: 0.0 };
    produce::payments(kafka.bootstrap(), "copies", load(1));
    kafka.kill_node(2);
    produce::payments(kafka.bootstrap(), "copies", load(2));
    kafka.start_node(2);
    kafka.stop_node(3);
    produce::payments(kafka.bootstrap(), "copies", load(3));
    kafka.start_node(3);
    kafka.freeze_node(1);
    thread::sleep(Duration::from_millis(200));
    kafka.thaw_node(1);
    assert_eq!(kafka.read_all("copies").len(), 900);
}

fn postgres() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], cluster().port()))
}

fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| {
        let options = ClusterOptions { settings: vec![], careless: true };
        Cluster::start(&options).expect("a cluster starts")
    })
}

async fn connect(address: SocketAddr) -> tokio_postgres::Client {
    let url = cluster().url("postgres").replace(&format!(":{}/", cluster().port()), &format!(":{}/", address.port()));
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

async fn rows(table: &str) -> i64 {
    let client = connect(postgres()).await;
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.expect("a count").get(0)
}

#[tokio::test]
async fn a_commit_is_cut_before_or_after_it_happened() {
    let proxy = Proxy::postgres(postgres());
    connect(postgres()).await.batch_execute("CREATE TABLE cut (n int8)").await.unwrap();
    for (skip, fault, stored) in [(0, Fault::CutBefore, 0), (1, Fault::CutAfter, 2), (0, Fault::CutAfter, 3)] {
        let mut client = connect(proxy.address()).await;
        let fired = proxy.fired();
        proxy.on_commit(skip, fault);
        for n in 0..=skip {
            let transaction = client.transaction().await.unwrap();
            transaction.execute("INSERT INTO cut VALUES ($1)", &[&i64::from(n)]).await.unwrap();
            assert_eq!(transaction.commit().await.is_ok(), n < skip, "{fault:?}");
        }
        assert_eq!(proxy.fired(), fired + 1);
        assert_eq!(rows("cut").await, stored, "{fault:?}");
    }
}

/// The writer's way: COPY, its end and the COMMIT are sent without waiting for answers in between.
#[tokio::test]
async fn a_commit_right_behind_a_copy_is_found() {
    let proxy = Proxy::postgres(postgres());
    connect(postgres()).await.batch_execute("CREATE TABLE copied (n int8)").await.unwrap();
    for (fault, stored) in [(Fault::CutBefore, 0), (Fault::CutAfter, 2_000)] {
        let client = connect(proxy.address()).await;
        client.batch_execute("BEGIN").await.unwrap();
        let copy = client.copy_in("COPY copied FROM STDIN").await.unwrap();
        let mut copy = std::pin::pin!(copy);
        proxy.on_commit(0, fault);
        for n in 0..2_000 {
            copy.as_mut().feed(Bytes::from(format!("{n}\n"))).await.unwrap();
        }
        let (copied, committed) = tokio::join!(copy.finish(), client.batch_execute("COMMIT"));
        assert!(committed.is_err(), "{fault:?}");
        // The COPY has a round of its own, whose answer is delivered; a cut connection may lose it all the same.
        assert!(copied.is_ok() || fault == Fault::CutBefore, "{fault:?}: {copied:?}");
        assert_eq!(rows("copied").await, stored, "{fault:?}");
    }
}

#[tokio::test]
async fn a_prepared_statement_outside_a_transaction_is_found_too() {
    let proxy = Proxy::postgres(postgres());
    connect(postgres()).await.batch_execute("CREATE TABLE lone (n int8)").await.unwrap();
    for (fault, stored) in [(Fault::CutBefore, 0), (Fault::CutAfter, 1), (Fault::Silence, 2)] {
        let client = connect(proxy.address()).await;
        let insert = client.prepare("INSERT INTO lone VALUES ($1)").await.unwrap();
        proxy.on_statement("into LONE", 0, fault);
        let answer = tokio::time::timeout(Duration::from_millis(500), client.execute(&insert, &[&1_i64])).await;
        assert_eq!(answer.is_err(), fault == Fault::Silence, "{fault:?}");
        assert!(!matches!(answer, Ok(Ok(_))), "{fault:?}");
        assert_eq!(rows("lone").await, stored, "{fault:?}");
    }
    let client = connect(proxy.address()).await;
    proxy.on_statement("into lone", 0, Fault::Delay(Duration::from_millis(300)));
    let begun = Instant::now();
    client.execute("INSERT INTO lone VALUES (1)", &[]).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(rows("lone").await, 3);
}

/// A server that sends everything back.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    address
}

fn ask(mut stream: &TcpStream, patience: Duration) -> std::io::Result<usize> {
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"x")?;
    stream.read(&mut [0; 8])
}

#[test]
fn the_proxy_delays_freezes_cuts_and_refuses() {
    let proxy = Proxy::tcp(echo());
    let (short, long) = (Duration::from_millis(150), Duration::from_secs(5));
    let stream = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(ask(&stream, long).unwrap(), 1);

    proxy.set_delay(Duration::from_millis(50));
    let begun = Instant::now();
    assert_eq!(ask(&stream, long).unwrap(), 1);
    assert!(begun.elapsed() >= Duration::from_millis(100));
    proxy.set_delay(Duration::ZERO);

    for way in [Way::ToServer, Way::ToClient] {
        proxy.freeze(way);
        assert!(ask(&stream, short).is_err(), "{way:?}");
        proxy.thaw();
        stream.set_read_timeout(Some(long)).unwrap();
        assert_eq!((&stream).read(&mut [0; 8]).unwrap(), 1, "{way:?}");
    }

    proxy.refuse();
    assert!(TcpStream::connect(proxy.address()).is_err());
    assert_eq!(ask(&stream, long).unwrap(), 1);
    proxy.cut();
    assert_eq!(ask(&stream, long).unwrap_or(0), 0);
    proxy.accept();
    let again = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(ask(&again, long).unwrap(), 1);
    assert_eq!(proxy.accepted(), 2);
}

#[test]
fn metrics_are_summed_over_their_labels() {
    let page =
        "# HELP a_total x\na_total{topic=\"t\",partition=\"0\"} 2\na_total{topic=\"u\"} 3.5\na_total_more 9\nb 1e3\n";
    assert_eq!(daemon::metric(page, "a_total", &[]), Some(5.5));
    assert_eq!(daemon::metric(page, "a_total", &["topic=\"t\""]), Some(2.0));
    assert_eq!(daemon::metric(page, "b", &[]), Some(1000.0));
    assert_eq!(daemon::metric(page, "a", &[]), None);
}

#[test]
fn a_page_is_fetched_without_a_client_library() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 512];
        let n = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nx: y\r\n\r\nnot yet").unwrap();
        String::from_utf8_lossy(&request[..n]).into_owned()
    });
    assert_eq!(daemon::get(address, "/readyz").unwrap(), (503, "not yet".into()));
    assert!(server.join().unwrap().starts_with("GET /readyz HTTP/1.0\r\n"));
}

/// A shell stands in for a program that heeds or ignores signals, which needs no configuration to be right.
#[test]
fn a_daemon_is_signalled_waited_for_and_its_log_kept() {
    let ops = SocketAddr::from(([127, 0, 0, 1], 1));
    let script = "trap 'echo leaving; exit 7' TERM; echo up; while :; do sleep 0.05; done";
    let arguments = ["-c", script];
    let start = |name| Start { name, config: "", ops, arguments: &arguments, environment: &[("A", "b")] };
    let up = |daemon: &Daemon| {
        support::wait::until("a log line", Duration::from_secs(5), || daemon.log().contains("up\n").then_some(()))
    };

    let mut first = Daemon::start_program("/bin/sh", &start("first"));
    up(&first);
    assert!(first.exit().is_none() && first.get("/livez").is_err() && first.metric("x").is_none());
    first.signal(Signal::Stop);
    first.signal(Signal::Term);
    thread::sleep(Duration::from_millis(200));
    assert!(first.exit().is_none());
    first.signal(Signal::Continue);
    assert_eq!(first.wait(Duration::from_secs(5)).code(), Some(7));
    assert_eq!(first.log(), "up\nleaving\n");

    let mut second = Daemon::start_program("/bin/sh", &start("second"));
    up(&second);
    second.signal(Signal::Kill);
    assert_eq!(second.wait(Duration::from_secs(5)).signal(), Some(9));
}
