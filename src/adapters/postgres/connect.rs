//! Connections: limits as start-up parameters, TLS, a pool whose objects are thrown away after any unknown end (rule W8).

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use deadpool_postgres::Connect;
use deadpool_postgres::Manager;
use deadpool_postgres::ManagerConfig;
use deadpool_postgres::Object;
use deadpool_postgres::Pool;
use deadpool_postgres::RecyclingMethod;
use deadpool_postgres::Runtime;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres::config::SslMode;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::ports::BoxFuture;
use crate::ports::SinkError;
use crate::ports::SinkFault;

use super::fault;
use super::options::PostgresOptions;
use super::options::Tls;

/// The options cannot make a connection.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("postgres.url: {0}; write it like postgres://user@host:5432/database")]
    Url(String),
    #[error("postgres.ca_file {file}: {why}")]
    Authorities { file: String, why: String },
    #[error("the system has no trusted certificates ({0}); set postgres.ca_file, or postgres.tls = \"disable\"")]
    NoAuthorities(String),
}

/// A database that can be connected to. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    session: Arc<Session>,
}

/// What every session must have, and the longest time that a caller waits for one round trip.
struct Session {
    settings: Vec<(&'static str, String)>,
    call: Duration,
}

impl Database {
    /// Reads the options; connects to nothing yet. `connections` is the most that are open at once: one a writer and some for claims.
    pub fn new(options: &PostgresOptions, connections: usize) -> Result<Database, OpenError> {
        let (config, tls) = config(options)?;
        let call = options.statement_timeout.duration() + options.lock_timeout.duration() + Duration::from_secs(1);
        let session = Arc::new(Session { settings: settings(options), call });
        let connector = Connector { tls, session: session.clone() };
        // A pooled connection is rolled back before it is used again: one that came back inside a transaction would
        // otherwise be handed out inside it (measured for the Fast and Verified methods).
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Custom("ROLLBACK".into()) };
        let wait = Some(options.connect_timeout.duration());
        let pool = Pool::builder(Manager::from_connect(config, connector, recycling))
            .max_size(connections.max(1))
            .wait_timeout(wait)
            .create_timeout(wait.map(|w| w * 2))
            .recycle_timeout(wait)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime was given, which is all that building needs");
        Ok(Database { pool, session })
    }

    /// A connection of one's own. It is closed when dropped, unless [`Lease::give_back`] is called at a known end.
    pub async fn lease(&self) -> Result<Lease, SinkError> {
        Ok(Lease(Some(self.pool.get().await.map_err(fault::pool_error)?)))
    }

    /// Longest time that one call may take before the connection is given up: above the server's own limits, so that
    /// normally the server answers first.
    pub fn call_timeout(&self) -> Duration {
        self.session.call
    }
}

/// A connection taken from the pool. Dropping it closes it: after a cancelled or failed call nobody knows its state.
pub struct Lease(Option<Object>);

impl Lease {
    /// Returns the connection to the pool; only when no transaction is open and every answer was read.
    pub fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Deref for Lease {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.0.as_ref().expect("only give_back and drop empty a lease, and both consume it")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

struct Connector {
    tls: MakeRustlsConnect,
    session: Arc<Session>,
}

impl Connect for Connector {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(self.tls.clone()).await?;
            let task = tokio::spawn(async move {
                // The reason why a server ended a session reaches nobody but this future.
                if let Err(e) = connection.await {
                    let e = fault::sink_error(&e, "connection", false);
                    tracing::warn!(error = %e, "postgres connection ended");
                }
            });
            self.session.check(&client).await?;
            Ok((client, task))
        })
    }
}

impl Session {
    /// Asks the server for the settings: a proxy in between may have dropped them. A difference is only told of, once
    /// a connection, since [`verify_session`] refuses it at start.
    async fn check(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        for (name, want, found) in differing(client, &self.settings).await? {
            tracing::warn!(name, want, found, "postgres session setting did not take effect");
        }
        Ok(())
    }
}

async fn differing<'a>(
    client: &Client,
    settings: &'a [(&'static str, String)],
) -> Result<Vec<(&'static str, &'a str, String)>, tokio_postgres::Error> {
    let names: Vec<&str> = settings.iter().map(|s| s.0).collect();
    let sql = "SELECT setting FROM unnest($1::text[]) WITH ORDINALITY n(name, at) \
               LEFT JOIN pg_catalog.pg_settings s USING (name) ORDER BY at";
    let rows = client.query(sql, &[&names]).await?;
    let found = rows.iter().map(|r| r.get::<_, Option<String>>(0).unwrap_or_default());
    // On a unix socket the server shows 0 for every tcp_keepalives setting.
    let differ = |name: &str, want: &str, found: &str| want != found && !(name.starts_with("tcp_") && found == "0");
    Ok(settings
        .iter()
        .zip(found)
        .filter(|((name, want), found)| differ(name, want, found))
        .map(|((n, w), f)| (*n, &w[..], f))
        .collect())
}

/// Checks at start that the limits hold on this server and that it can be written to (rules W7, W8).
pub async fn verify_session(database: &Database) -> Result<(), SinkError> {
    let lease = database.lease().await?;
    let doing = "checking the session";
    let failed = |e| fault::sink_error(&e, doing, false);
    let wrong = differing(&lease, &database.session.settings).await.map_err(failed)?;
    if let Some((name, want, found)) = wrong.first() {
        let message = format!(
            "session setting {name} is {found:?} instead of {want:?}; connect to the server itself or through a pooler in session mode"
        );
        return Err(SinkError { fault: SinkFault::Contract, sqlstate: None, message });
    }
    let row = lease.query_one("SELECT pg_catalog.pg_is_in_recovery()", &[]).await.map_err(failed)?;
    if row.get(0) {
        let message = "the server is a replica; marks are never read from one: correct postgres.url".into();
        return Err(SinkError { fault: SinkFault::Operator, sqlstate: Some("25006".into()), message });
    }
    lease.give_back();
    Ok(())
}

fn settings(o: &PostgresOptions) -> Vec<(&'static str, String)> {
    let keepalive = (o.keepalive.0 / 1000).max(1);
    vec![
        ("statement_timeout", o.statement_timeout.0.to_string()),
        ("lock_timeout", o.lock_timeout.0.to_string()),
        ("idle_in_transaction_session_timeout", o.idle_in_transaction_timeout.0.to_string()),
        ("synchronous_commit", o.synchronous_commit.name().into()),
        ("tcp_keepalives_idle", keepalive.to_string()),
        ("tcp_keepalives_interval", (keepalive / 3).max(1).to_string()),
        ("tcp_keepalives_count", "3".into()),
        // The fence relies on READ COMMITTED looking again after a lock wait; a database may have another default.
        ("default_transaction_isolation", "read committed".into()),
        ("jit", "off".into()),
    ]
}

fn config(o: &PostgresOptions) -> Result<(Config, MakeRustlsConnect), OpenError> {
    let mut config: Config = o.url.expose().parse().map_err(|e| OpenError::Url(with_cause(&e)))?;
    if config.get_hosts().is_empty() {
        return Err(OpenError::Url("it names no host".into()));
    }
    if let Some(user) = &o.user {
        config.user(user);
    }
    if let Some(password) = &o.password {
        config.password(password.expose());
    }
    let mut parameters = config.get_options().unwrap_or("").to_owned();
    for (name, value) in settings(o) {
        parameters.push_str(&format!(" -c {name}={}", value.replace(' ', "\\ ")));
    }
    config
        .options(parameters.trim())
        .application_name(&o.application_name)
        .connect_timeout(o.connect_timeout.duration())
        .keepalives(true)
        .keepalives_idle(o.keepalive.duration())
        .keepalives_interval(o.keepalive.duration() / 3)
        .keepalives_retries(3)
        .tcp_user_timeout(o.statement_timeout.duration() + o.keepalive.duration());
    if config.get_hosts().len() > 1 {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    let wanted = match (o.tls, config.get_ssl_mode()) {
        (Some(tls), _) => tls == Tls::Require,
        (None, SslMode::Disable) => false,
        (None, SslMode::Require) => true,
        (None, _) => !config.get_hosts().iter().all(is_local),
    };
    // Never `prefer`: it falls back to plain text when the server, or somebody in between, says so.
    config.ssl_mode(if wanted { SslMode::Require } else { SslMode::Disable });
    let tls = rustls_config(if wanted { authorities(o)? } else { rustls::RootCertStore::empty() });
    Ok((config, MakeRustlsConnect::new(tls)))
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    }
}

fn authorities(o: &PostgresOptions) -> Result<rustls::RootCertStore, OpenError> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = &o.ca_file {
        let failed = |why: String| OpenError::Authorities { file: path.display().to_string(), why };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| failed(e.to_string()))? {
            let certificate = certificate.map_err(|e| failed(e.to_string()))?;
            roots.add(certificate).map_err(|e| failed(e.to_string()))?;
        }
        return if roots.is_empty() { Err(failed("it holds no certificate".into())) } else { Ok(roots) };
    }
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        let why = native.errors.first().map_or("none were found".into(), ToString::to_string);
        return Err(OpenError::NoAuthorities(why));
    }
    Ok(roots)
}

fn rustls_config(roots: rustls::RootCertStore) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn with_cause(e: &tokio_postgres::Error) -> String {
    std::error::Error::source(e).map_or_else(|| e.to_string(), ToString::to_string)
}
