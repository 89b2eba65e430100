//! Commands that need no service: mistakes in the configuration, what it comes to, and its schema.

use std::fs;

use crate::support::folder::Folder;
use crate::world::root;
use crate::world::tidemill;

/// A configuration of one's own in a temporary folder.
fn written(text: &str) -> (Folder, String) {
    let folder = Folder::new("configuration");
    let path = folder.join("tidemill.toml");
    fs::write(&path, text).expect("the test folder takes a file");
    let path = path.to_str().expect("a path in UTF-8").to_owned();
    (folder, path)
}

#[test]
fn every_mistake_is_named_at_its_place_with_a_suggestion() {
    let text = "name = \"p\"\n\n[kafka]\nbroker = [\"localhost:9092\"]\ntopics = [\"t\"]\ngroup = \"g\"\n\n\
                [batch]\n  rows_max = \"many\"\n\n[talbe]\n";
    let (_folder, path) = written(text);
    for command in ["run", "check", "migrate"] {
        let ran = tidemill(&[command, "-c", &path], &[]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran}");
        for part in ["tidemill.toml:4:1", "brokers", "tidemill.toml:9:14", "tidemill.toml:11:2", "table"] {
            assert!(ran.err.contains(part), "{part:?} is not in\n{ran}");
        }
    }
}

#[test]
fn rules_across_sections_are_told_at_the_key_that_mends_them() {
    let text = "name = \"p\"\n[kafka]\nbrokers = [\"b:1\"]\ntopics = [\"t\"]\ngroup = \"g\"\n[shutdown]\nbudget = \"1s\"\nleave = \"2s\"\n";
    let (_folder, path) = written(text);
    let ran = tidemill(&["check", "-c", &path, "--set", "writer.writers=0"], &[]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran}");
    for part in ["tidemill.toml:8:", "shutdown.budget", "--set writer.writers"] {
        assert!(ran.err.contains(part), "{part:?} is not in\n{ran}");
    }
}

#[test]
fn a_missing_file_is_no_mystery() {
    let ran = tidemill(&["check", "-c", "/nonexistent/tidemill.toml"], &[]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.err.contains("/nonexistent/tidemill.toml"), "{ran}");
}

#[test]
fn shown_configuration_has_origins_and_no_secrets() {
    let text = "name = \"p\"\n[kafka]\nbrokers = [\"b:1\"]\ntopics = [\"t\"]\ngroup = \"g\"\n\
                [kafka.tls]\nenabled = true\nkey_password = \"hush1\"\n\
                [kafka.sasl]\nmechanism = \"SCRAM-SHA-512\"\nusername = \"reader\"\npassword = \"${BROKER_PASSWORD}\"\n\
                [postgres]\nurl = \"postgres://u:hush3@db:5432/x\"\npassword = \"hush4\"\n";
    let (_folder, path) = written(text);
    let arguments = ["config", "show", "-c", &path, "--set", "batch.rows_max=77"];
    let ran = tidemill(&arguments, &[("BROKER_PASSWORD", "hush2")]);
    ran.says(0, &["***", "tidemill.toml:1:8", "--set batch.rows_max", "# default", "reader"]);
    assert!(!ran.out.contains("hush") && !ran.err.contains("hush"), "{ran}");
}

#[test]
fn the_schema_is_the_committed_one() {
    let ran = tidemill(&["config", "schema"], &[]);
    let committed = fs::read_to_string(root().join("schemas/config.schema.json")).expect("it is committed");
    assert_eq!((ran.code, ran.out), (0, committed));
}

#[test]
fn usage_and_version() {
    assert_eq!(tidemill(&["chek"], &[]).code, 2);
    tidemill(&["version"], &[]).says(0, &[concat!("tidemill ", env!("CARGO_PKG_VERSION"))]);
    tidemill(&["--help"], &[]).says(0, &["Exit codes:"]);
}
