//! Keeps the sources as ARCHITECTURE wants them. Every rule says file:line, what it is, why it is and what to do;
//! `tidy/rules_can_fail.rs` shows each rule a bad source, so that it is known to fail.

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/mutants.rs"]
mod mutants;
#[path = "tidy/report.rs"]
mod report;
#[path = "tidy/rules_can_fail.rs"]
mod rules_can_fail;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/text.rs"]
mod text;
#[path = "tidy/tree.rs"]
mod tree;

use report::Complaint;
use source::Source;

/// All sources below a folder.
fn sources(folder: &'static str) -> Vec<Source> {
    let sources = source::read_all(folder);
    assert!(sources.len() > 10, "the sources were not found");
    sources
}

/// Rules about the layers of the program itself.
fn each(rule: impl Fn(&Source) -> Vec<Complaint>) {
    report::expect_none(sources("src").iter().flat_map(rule).collect());
}

/// Rules for every crate of the workspace.
fn each_of_all(rule: impl Fn(&Source) -> Vec<Complaint>) {
    let all = [sources("src"), sources("onnx/src")];
    report::expect_none(all.iter().flatten().flat_map(rule).collect());
}

#[test]
fn modules_import_only_what_their_layer_may_know() {
    each(layers::imports);
}

#[test]
fn client_libraries_stay_in_their_adapter() {
    each(layers::clients);
}

#[test]
fn domain_is_pure() {
    each(layers::purity);
}

#[test]
fn files_and_functions_are_short() {
    each_of_all(tree::lengths);
}

#[test]
fn every_file_is_reached_by_a_mod_line() {
    let all = [sources("src"), sources("onnx/src")];
    report::expect_none(all.iter().flat_map(|s| tree::orphans(s)).collect());
}

#[test]
fn every_module_says_what_it_is() {
    each_of_all(tree::header);
}

#[test]
fn unsafe_stands_only_where_the_table_gives_a_reason() {
    each_of_all(text::unsafe_code);
}

#[test]
fn nothing_is_left_over() {
    each_of_all(text::leftovers);
}

#[test]
fn unwrap_is_for_tests() {
    each_of_all(text::unwrap);
}
