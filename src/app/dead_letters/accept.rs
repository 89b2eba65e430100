//! `tidemill dead-letters accept`: a person's word on a flood (rule J1). Running processes hear of it within `guard.poll`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use crate::adapters::postgres::acceptance;
use crate::adapters::postgres::acceptance::Scope;
use crate::adapters::postgres::connect::Database;
use crate::app::connect;
use crate::app::connect::Trouble;
use crate::cli::AcceptArgs;
use crate::cli::Exit;
use crate::config::Config;
use crate::domain::fault::Fault;

/// Longest acceptance: who wants more accepts again, or turns the guard off by its share.
const LONGEST: Duration = Duration::from_secs(31 * 86_400);

pub fn accept(config: &Config, args: &AcceptArgs) -> Exit {
    let runtime = match crate::app::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return Exit::CannotGoOn;
        }
    };
    match runtime.block_on(answer(config, args)) {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::CannotGoOn,
            _ => Exit::Done,
        },
        Err(trouble) => {
            eprintln!("{}", trouble.message);
            if trouble.fault == Fault::Retry { Exit::CannotGoOn } else { Exit::Configuration }
        }
    }
}

async fn answer(config: &Config, args: &AcceptArgs) -> Result<String, Trouble> {
    let database = connect::database(config)?;
    let scope = Scope { pipeline: &config.name, topic: args.topic.as_deref() };
    let Some(cause) = args.cause.as_deref() else { return list(&database, scope).await };
    let failed = |e: crate::ports::SinkError| Trouble::postgres(e.into());
    let (done, text) = match args.time.filter(|_| !args.end) {
        None => {
            let ended = acceptance::end(&database, scope, cause, &client()).await.map_err(failed)?;
            (ended, format!("ended {ended} acceptances of {cause}\n"))
        }
        Some(time) if time.is_zero() || time > LONGEST => {
            return Err(wrong(format!("--for: use a time up to {} days", LONGEST.as_secs() / 86_400)));
        }
        Some(time) => {
            let topics = acceptance::accept(&database, scope, cause, time, &client()).await.map_err(failed)?;
            let minutes = time.as_secs().div_ceil(60);
            (topics, format!("accepted {cause} for {minutes} minutes on {topics} topics\n"))
        }
    };
    if done == 0 {
        let topic = scope.topic.map(|t| format!(" topic {t} of")).unwrap_or_default();
        let what = if args.end { "nothing was accepted of that cause on" } else { "the database knows no" };
        return Err(wrong(format!("{what}{topic} pipeline {}; look with --list", scope.pipeline)));
    }
    Ok(text)
}

async fn list(database: &Database, scope: Scope<'_>) -> Result<String, Trouble> {
    let found = acceptance::list(database, scope).await.map_err(|e| Trouble::postgres(e.into()))?;
    let mut text = String::new();
    for a in found {
        let state = if a.is_open { "open" } else { "over" };
        let ended = a.ended_at.map(|at| format!(" ended {at}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "{} {state} {} {} from {} until {}{ended} by {}",
            a.id, a.topic, a.cause, a.accepted_at, a.until, a.by
        );
    }
    Ok(if text.is_empty() { "nothing was ever accepted\n".to_owned() } else { text })
}

fn wrong(message: String) -> Trouble {
    Trouble { code: "accept", fault: Fault::Stop, message }
}

/// User and host, for the audit.
fn client() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".to_owned());
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{user}@{}", host.trim())
}
