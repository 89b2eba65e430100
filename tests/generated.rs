//! Files that are made from the sources must not drift from them. `TIDEMILL_UPDATE=1 cargo test --test generated` writes them.

#[path = "generated/configuration.rs"]
mod configuration;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tidemill::adapters::models::manifest;
use tidemill::adapters::postgres::sqlstate;
use tidemill::config::Config;
use tidemill::config::load;
use tidemill::config::place::Source;
use tidemill::config::schema;
use tidemill::config::validate;
use tidemill::telemetry::catalog;

/// Compares a committed file with what the sources say now, or writes it.
fn check(path: &str, wanted: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("TIDEMILL_UPDATE").is_some_and(|v| v == "1") {
        fs::create_dir_all(file.parent().expect("a file has a folder")).unwrap();
        fs::write(&file, wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let line = found.lines().zip(wanted.lines()).position(|(a, b)| a != b);
    let line = line.unwrap_or_else(|| found.lines().count().min(wanted.lines().count())) + 1;
    assert!(found == wanted, "{path}:{line} is stale: run `TIDEMILL_UPDATE=1 cargo test --test generated` and commit");
}

#[test]
fn docs_metrics() {
    let head = "# Metrics\n\n\
        What `/metrics` shows, made from `src/telemetry/catalog.rs`. The state of the pipeline (everything from taken to lag)\n\
        is read as one snapshot at each scrape, so these numbers add up:\n\n\
        taken = stored + dead-lettered + skipped + handed back + in flight.\n\n\
        Beside them stand the usual `process_*` families (CPU, memory, files, threads).\n\n";
    check("docs/metrics.md", &format!("{head}{}", catalog::markdown()));
}

#[test]
fn docs_sqlstate() {
    let head = "# Errors of Postgres\n\n\
        What each SQLSTATE means here, made from `src/adapters/postgres/sqlstate.rs`. A code's own line overrides that of its\n\
        class (`…`). Only *data* makes dead letters, and an unknown code is an outage.\n\n";
    check("docs/sqlstate.md", &format!("{head}{}", sqlstate::markdown()));
}

#[test]
fn schemas_config() {
    check("schemas/config.schema.json", &schema::of::<Config>());
}

#[test]
fn schemas_model() {
    let schema = serde_json::to_string_pretty(&manifest::schema()).unwrap();
    check("schemas/model.schema.json", &format!("{schema}\n"));
}

/// Keys that have no default of use, by what is said about an empty file.
fn required() -> BTreeSet<String> {
    let empty = Source { name: "empty.toml".into(), ..Source::default() };
    let (config, origins) = load::read::<Config>(empty, Path::new("."), &|_| None).expect("an empty file can be read");
    let errors = validate::validate(&config, &origins).expect_err("an empty file names no topic");
    errors.findings().iter().map(|finding| finding.path.clone()).collect()
}

#[test]
fn docs_configuration() {
    let schema = serde_json::from_str(&schema::of::<Config>()).expect("a schema is JSON");
    let required = required();
    assert!(required.contains("kafka.topics"), "{required:?}");
    check("docs/configuration.md", &configuration::page(&schema, &required));
}
