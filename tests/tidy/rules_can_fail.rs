//! Each rule is shown a source that breaks it, and one beside it that does not.

use super::layers;
use super::report::Complaint;
use super::source::Source;
use super::source::mark_tests;
use super::text;
use super::tree;

/// Lines and rule texts of the complaints about `text`, as if it stood at `path`.
fn check(rule: impl Fn(&Source) -> Vec<Complaint>, path: &str, text: &str) -> Vec<(usize, String)> {
    rule(&Source::parse(path, text)).into_iter().map(|c| (c.line, c.rule)).collect()
}

fn lines(rule: impl Fn(&Source) -> Vec<Complaint>, path: &str, text: &str) -> Vec<usize> {
    check(rule, path, text).into_iter().map(|c| c.0).collect()
}

#[test]
fn imports_against_the_layers() {
    let up = "use crate::domain::lane::Lane;\nuse crate::config::Config;\n";
    assert_eq!(lines(layers::imports, "pipeline/intake.rs", up), [2]);
    assert_eq!(lines(layers::imports, "app/run.rs", up), [] as [usize; 0]);
    let across = "fn f() {\n    crate::adapters::kafka::build();\n}\n";
    assert_eq!(lines(layers::imports, "adapters/postgres/mod.rs", across), [2], "inline paths count");
    assert_eq!(lines(layers::imports, "adapters/kafka/events.rs", across), [] as [usize; 0]);
    let grouped = "use crate::{domain::lane::Lane,\n  adapters::kafka::Options};\n";
    assert_eq!(lines(layers::imports, "telemetry/x.rs", grouped), [2]);
    let upward = "use super::super::postgres::Options;\n";
    assert_eq!(lines(layers::imports, "adapters/kafka/x.rs", upward), [1], "super leads out");
    assert_eq!(lines(layers::imports, "adapters/kafka/deep/x.rs", upward), [] as [usize; 0], "its own postgres.rs");
    let reexport = "use crate::Lane;\n";
    assert_eq!(lines(layers::imports, "pipeline/x.rs", reexport), [1], "no root re-exports");
    let test = "#[cfg(test)]\nmod tests {\n    use crate::config::Config;\n}\n";
    assert_eq!(lines(layers::imports, "domain/x.rs", test), [] as [usize; 0], "tests may look around");
    assert_eq!(check(layers::imports, "plumbing/x.rs", ""), [(1, "`plumbing::x` has no layer".to_owned())]);
}

#[test]
fn clients_outside_their_adapter() {
    let text = "use std::fmt;\nuse rdkafka::consumer::BaseConsumer;\nfn f() { bincode::decode() }\n";
    assert_eq!(lines(layers::clients, "pipeline/intake.rs", text), [2, 3]);
    assert_eq!(lines(layers::clients, "adapters/kafka/mod.rs", text), [3]);
    assert_eq!(lines(layers::clients, "adapters/formats/bincode.rs", text), [2]);
    let child = "mod bincode;\nfn f() { bincode::build() }\n";
    assert_eq!(lines(layers::clients, "adapters/formats/mod.rs", child), [] as [usize; 0], "a module of that name");
}

#[test]
fn impurity_of_domain() {
    let text = "use std::time::Duration;\nuse std::time::Instant;\nuse std::{fmt, fs};\nfn f() {\n    tokio::spawn(g);\n    \
        u64::from(1u8);\n    fmt::format(x);\n}\n";
    assert_eq!(lines(layers::purity, "domain/x.rs", text), [2, 3, 5]);
    assert_eq!(lines(layers::purity, "pipeline/x.rs", text), [] as [usize; 0]);
    let allowed = "use serde::Serialize;\nuse crate::domain::lane::Lane;\nuse super::batch::Batch;\n";
    assert_eq!(lines(layers::purity, "domain/x.rs", allowed), [] as [usize; 0]);
    assert_eq!(lines(layers::purity, "domain/x.rs", "fn f() { std::thread::sleep(d) }"), [1]);
}

#[test]
fn length_of_files_and_functions() {
    let body = "    call();\n".repeat(tree::FUNCTION_LINES_MAX - 2);
    let fits = format!("fn fits() {{\n{body}}}\n");
    assert_eq!(lines(tree::lengths, "domain/x.rs", &fits), [] as [usize; 0]);
    let long = format!("//! x\nstruct S;\nimpl S {{\n    fn long() {{\n{body}\n    }}\n}}\n");
    let found = check(tree::lengths, "domain/x.rs", &long);
    assert_eq!(found, [(4, "function `long` has 71 lines, at most 70".to_owned())]);
    let many = "const A: u8 = 0;\n".repeat(tree::FILE_LINES_MAX);
    let tests = format!("{many}#[cfg(test)]\nmod tests {{\n{}}}\n", "const B: u8 = 0;\n".repeat(100));
    assert_eq!(lines(tree::lengths, "domain/x.rs", &tests), [] as [usize; 0], "tests do not count");
    assert_eq!(lines(tree::lengths, "domain/x.rs", &format!("{many}const C: u8 = 0;\n")), [tree::FILE_LINES_MAX]);
}

#[test]
fn orphans_and_headers() {
    let source = |path: &str, text: &str| Source::parse(path, text);
    let sources = [
        source("lib.rs", "mod a;\nmod b;"),
        source("a.rs", "mod c;"),
        source("a/c.rs", ""),
        source("b/mod.rs", "#[cfg(test)]\nmod tests;"),
        source("b/tests.rs", ""),
        source("b/lost.rs", ""),
    ];
    let files: Vec<_> = tree::orphans(&sources).into_iter().map(|c| c.file).collect();
    assert_eq!(files, ["src/b/lost.rs"]);
    assert_eq!(lines(tree::header, "a.rs", "use std::fmt;\n"), [1]);
    assert_eq!(lines(tree::header, "a.rs", "//! Says.\n"), [] as [usize; 0]);
}

#[test]
fn files_of_tests_are_found_by_their_mod_line() {
    let mut sources = [
        Source::parse("a/mod.rs", "#[cfg(test)]\nmod samples;\nmod real;"),
        Source::parse("a/samples.rs", "mod deep;"),
        Source::parse("a/samples/deep.rs", ""),
        Source::parse("a/real.rs", ""),
    ];
    mark_tests(&mut sources);
    assert_eq!(sources.map(|s| s.is_test), [false, true, true, false]);
}

#[test]
fn unsafe_placeholders_reminders_and_unwrap() {
    let text = "//! The word unsafe in a comment is no code.\nfn f() {\n    unsafe { g() }\n}\n";
    assert_eq!(lines(text::unsafe_code, "domain/x.rs", text), [3]);
    let text = "macro_rules! m { () => { unsafe { g() } } }\n";
    assert_eq!(lines(text::unsafe_code, "domain/x.rs", text), [1], "macros too");
    let reminder = ["// TO", "DO: later\n"].concat();
    let text = format!("{reminder}fn f() {{\n    todo!()\n}}\nfn g() {{ std::dbg!(1); }}\n");
    assert_eq!(lines(text::leftovers, "domain/x.rs", &text), [1, 3, 5]);
    let text = "fn f() {\n    a().unwrap();\n    assert!(b().unwrap());\n    c().expect(\"why\");\n    d.unwrap_or(1);\n}\n\
        #[cfg(test)]\nmod tests { fn t() { a().unwrap(); } }\n";
    assert_eq!(lines(text::unwrap, "domain/x.rs", text), [2, 3]);
    assert_eq!(lines(text::unwrap, "domain/tests.rs", text), [] as [usize; 0]);
}
