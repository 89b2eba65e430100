//! A streaming standby of a throwaway Postgres, which may fall behind, vanish and take over.

use std::net::SocketAddr;
use std::time::Duration;

use super::postgres::Postgres;
use super::postgres::Setup;
use super::postgres::as_server;
use super::proxy::Proxy;
use super::wait::until;

const PATIENCE: Duration = Duration::from_secs(40);

/// A second server that follows the first one. It stands on a port of its own; sessions on it are read-only until it takes over.
pub struct Standby {
    pub postgres: Postgres,
    link: Proxy,
}

impl Standby {
    /// Copies the primary and follows it, without being waited for.
    pub fn of(primary: &Postgres, setup: Setup) -> Standby {
        let link = Proxy::tcp(SocketAddr::from(([127, 0, 0, 1], primary.port())));
        let port = link.address().port().to_string();
        let postgres = Postgres::made(setup, |bin, data, _| {
            let mut copy = as_server(&bin.join("pg_basebackup"));
            copy.args([
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "-p",
                &port,
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
                "-N",
                "-D",
            ]);
            copy.arg(data);
            copy
        });
        let standby = Standby { postgres, link };
        standby.wait_until_followed(primary);
        standby
    }

    /// From now on commits of the primary wait for the standby, or no longer do.
    pub fn synchronous(primary: &Postgres, on: bool) {
        let names = if on { "*" } else { "" };
        primary.psql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
        primary.psql("postgres", "SELECT pg_reload_conf()");
    }

    /// Nothing that the primary does from now on arrives here.
    pub fn pause(&self) {
        self.link.down();
    }

    /// Follows again.
    pub fn resume(&self, primary: &Postgres) {
        self.link.accept();
        self.wait_until_followed(primary);
    }

    /// Becomes a primary with what has arrived.
    pub fn promote(&self) {
        self.postgres.psql("postgres", "SELECT pg_promote(true, 30)");
    }

    fn wait_until_followed(&self, primary: &Postgres) {
        let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        until("the standby to follow", PATIENCE, || {
            primary.try_psql("postgres", streaming).is_ok_and(|n| n != "0").then_some(())
        });
    }
}
