//! The admin listener as Kubernetes and Prometheus see it: real sockets, plain HTTP.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use tidemill::admin::Options;
use tidemill::admin::pages::Sources;
use tidemill::admin::server;
use tidemill::admin::server::Server;
use tidemill::domain::units::Millis;
use tidemill::telemetry::health::Health;
use tidemill::telemetry::health::Outage;
use tidemill::telemetry::metrics::Metrics;
use tidemill::telemetry::scrape::Scrape;
use tidemill::telemetry::snapshot::Phase;
use tidemill::telemetry::snapshot::Published;
use tidemill::telemetry::snapshot::Reason;
use tidemill::telemetry::snapshot::Snapshot;
use tidemill::telemetry::snapshot::TopicCounts;

struct Page {
    status: u16,
    head: String,
    body: String,
}

impl Page {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

fn request(address: SocketAddr, method: &str, path: &str) -> Page {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Page { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

struct World {
    server: Server,
    published: Arc<Published>,
    health: Arc<Health>,
    metrics: Metrics,
}

impl World {
    fn new(stuck_after: Millis) -> World {
        let published = Arc::new(Published::default());
        let health = Arc::new(Health::default());
        let (scrape, metrics) = Scrape::new(published.clone());
        let sources = Sources { published: published.clone(), health: health.clone(), scrape: Arc::new(scrape) };
        let options = Options { listen: "127.0.0.1:0".to_owned(), stuck_after };
        let server = server::start(&options, sources).unwrap();
        assert_ne!(server.address().port(), 0, "the bound port is reported");
        World { server, published, health, metrics }
    }

    fn get(&self, path: &str) -> Page {
        request(self.server.address(), "GET", path)
    }
}

#[test]
fn readiness_and_startup_follow_the_published_state() {
    let world = World::new(Millis::secs(60));
    assert_eq!((world.get("/startupz").status, world.get("/readyz").status), (503, 503));
    world.published.publish(Snapshot { phase: Phase::Running, ..Snapshot::default() });
    let ready = world.get("/readyz");
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &Value::Bool(true)));
    assert_eq!(world.get("/startupz").status, 200);

    let reason = Reason { code: "postgres_down", detail: "no answer from the server".into() };
    world.published.publish(Snapshot { phase: Phase::Running, not_ready: vec![reason], ..Snapshot::default() });
    let ready = world.get("/readyz");
    assert_eq!((ready.status, &ready.json()["reasons"][0]["code"]), (503, &Value::from("postgres_down")));
    assert_eq!(world.get("/startupz").status, 200, "an outage is no second start");
    assert_eq!(world.get("/livez").status, 200, "an outage must not restart the process");

    world.published.publish(Snapshot { phase: Phase::Draining, ..Snapshot::default() });
    assert_eq!((world.get("/readyz").status, world.get("/livez").status), (503, 200));
}

#[test]
fn j4_liveness_fails_for_a_stuck_stage_and_not_for_an_outage() {
    let world = World::new(Millis(50));
    let writer = world.health.stage("writer-0");
    writer.turn(world.health.now(), true, Some(Outage::Postgres));
    std::thread::sleep(Duration::from_millis(120));
    assert_eq!(world.get("/livez").status, 200, "it waits for a known outage");
    writer.turn(world.health.now(), true, None);
    std::thread::sleep(Duration::from_millis(120));
    let live = world.get("/livez");
    assert_eq!((live.status, &live.json()["stuck"][0]["stage"]), (503, &Value::from("writer-0")));
    writer.turn(world.health.now(), false, None);
    assert_eq!(world.get("/livez").status, 200);
}

#[test]
fn the_metrics_page_is_prometheus_text_of_state_and_handles() {
    let world = World::new(Millis::secs(60));
    let topic = TopicCounts { topic: "payments".into(), taken: 12, stored: 12, ..TopicCounts::default() };
    world.published.publish(Snapshot { topics: vec![topic], ..Snapshot::default() });
    world.metrics.mill.panics.increment(2);
    let page = world.get("/metrics");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/plain; version=0.0.4"), "{}", page.head);
    for line in ["tidemill_intake_taken_records_total{topic=\"payments\"} 12\n", "tidemill_mill_panic_events_total 2\n"]
    {
        assert!(page.body.contains(line), "{line}");
    }
}

#[test]
fn the_rest_of_the_pages() {
    let world = World::new(Millis::secs(60));
    assert_eq!(world.get("/version").json()["version"], env!("CARGO_PKG_VERSION"));
    assert!(world.get("/").body.contains("/readyz"));
    assert_eq!(world.get("/nothing").status, 404);
    assert_eq!(request(world.server.address(), "POST", "/livez").status, 405);
}

#[test]
fn stopping_frees_the_port_and_does_not_wait_for_an_idle_client() {
    let world = World::new(Millis::secs(60));
    let address = world.server.address();
    let idle = TcpStream::connect(address).unwrap();
    assert_eq!(world.get("/livez").status, 200);
    let begun = Instant::now();
    world.server.stop();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    drop(idle);
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let published = Arc::new(Published::default());
    let (scrape, _) = Scrape::new(published.clone());
    let sources = Sources { published, health: Arc::default(), scrape: Arc::new(scrape) };
    let error = server::start(&Options { listen: listen.clone(), ..Options::default() }, sources).err().unwrap();
    assert!(error.to_string().contains(&listen), "{error}");
}
