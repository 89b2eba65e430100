//! Bugs planted in the real program: what the other tests look for must then be there to see.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Duration;

use crate::site::LONG;
use crate::site::Site;
use crate::site::poll;
use crate::support::daemon::Daemon;
use crate::support::proxy::Fault;
use crate::support::signal::Signal;
use crate::support::wait::until;

/// A process stands still with a group on its way; another one takes over, and then the group arrives.
fn zombie(name: &str, bug: &str) -> (Site<'static>, Vec<crate::support::produce::Sent>) {
    let site = Site::shared(name, 1);
    let (proxy, through) = site.proxy();
    let start = |name: &str, sets: &[&str]| -> Daemon {
        let mut daemon = site.daemon_in(name, sets, &[("TIDEMILL_MUTANT", bug)]);
        daemon.wait_until_ready(LONG);
        daemon
    };
    let stale = start("stale", &[&through]);
    let mut sent = site.produce(100);
    site.settle();
    proxy.on_statement("with fence", 0, Fault::Hold);
    sent.extend(site.produce(100));
    until("a group on its way", LONG, || (proxy.fired() == 1).then_some(()));
    stale.signal(Signal::Stop);
    let _heir = start("heir", &[]);
    site.settle();
    let rows = || site.sql("SELECT count(*) FROM public.scores");
    let before = rows();
    proxy.thaw();
    let committed = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
        AND query LIKE 'WITH fence%'";
    poll("the late group to be dealt with", LONG, || {
        let late = rows() != before;
        (late || site.sql(committed) == "0").then_some(())
    });
    std::thread::sleep(Duration::from_millis(500));
    (site, sent)
}

#[test]
fn w2_without_a_fence_a_zombie_doubles_rows_and_it_is_seen() {
    let (site, sent) = zombie("honest", "");
    site.expect_exact(&sent);
    let (site, sent) = zombie("no-fence", "no_fence");
    let seen = catch_unwind(AssertUnwindSafe(|| site.expect_exact(&sent)));
    assert!(seen.is_err(), "the planted bug did nothing that was seen");
}
