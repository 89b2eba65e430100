//! Shape of the tree: lengths, reachability, module headers.

use std::collections::BTreeSet;

use proc_macro2::Span;
use syn::Item;
use syn::spanned::Spanned;
use syn::visit::Visit;

use super::report::Complaint;
use super::source::Source;
use super::source::attributes;
use super::source::is_cfg_test;
use super::source::lines;

pub const FILE_LINES_MAX: usize = 400;
pub const FUNCTION_LINES_MAX: usize = 70;

/// Files and functions stay short; test parts do not count.
pub fn lengths(source: &Source) -> Vec<Complaint> {
    if source.is_test {
        return Vec::new();
    }
    let file = source.shown();
    let mut found = Vec::new();
    let tests: usize = source.file.items.iter().filter(|i| is_cfg_test(attributes(i))).map(length).sum();
    let production = source.text.lines().count() - tests;
    if production > FILE_LINES_MAX {
        found.push(Complaint {
            file: file.clone(),
            line: FILE_LINES_MAX,
            rule: format!("{production} production lines, at most {FILE_LINES_MAX}"),
            why: "one idea a file: a reader holds about 200 lines in mind",
            what_to_do: "move one of the ideas to a file of its own and name it after the idea",
        });
    }
    let mut functions = Functions(Vec::new());
    source.items().for_each(|item| functions.visit_item(item));
    for (name, first, count) in functions.0.into_iter().filter(|f| f.2 > FUNCTION_LINES_MAX) {
        found.push(Complaint {
            file: file.clone(),
            line: first,
            rule: format!("function `{name}` has {count} lines, at most {FUNCTION_LINES_MAX}"),
            why: "a function that does not fit on a screen is proofread by nobody",
            what_to_do: "keep the branching in the parent and move straight-line work into functions with a name",
        });
    }
    found
}

fn length(item: &Item) -> usize {
    // Attributes and doc comments before an item belong to its span.
    let (first, last) = lines(item);
    last - first + 1
}

struct Functions(Vec<(String, usize, usize)>);

impl Functions {
    fn add(&mut self, name: String, start: Span, body: &impl Spanned) {
        let first = start.start().line;
        self.0.push((name, first, lines(body).1 - first + 1));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_cfg_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, f: &'ast syn::ItemFn) {
        self.add(f.sig.ident.to_string(), f.sig.span(), &f.block);
        syn::visit::visit_item_fn(self, f);
    }

    fn visit_impl_item_fn(&mut self, f: &'ast syn::ImplItemFn) {
        self.add(f.sig.ident.to_string(), f.sig.span(), &f.block);
        syn::visit::visit_impl_item_fn(self, f);
    }

    fn visit_trait_item_fn(&mut self, f: &'ast syn::TraitItemFn) {
        if let Some(block) = &f.default {
            self.add(f.sig.ident.to_string(), f.sig.span(), block);
        }
        syn::visit::visit_trait_item_fn(self, f);
    }
}

/// Every file is reached from `lib.rs` or `main.rs` by `mod` lines.
pub fn orphans(sources: &[Source]) -> Vec<Complaint> {
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut todo: Vec<&Source> = sources.iter().filter(|s| s.path == "lib.rs" || s.path == "main.rs").collect();
    while let Some(source) = todo.pop() {
        if reached.insert(&source.path) {
            let children = source.children(false);
            todo.extend(sources.iter().filter(|s| children.contains(&s.path)));
        }
    }
    let orphan = |s: &&Source| !reached.contains(s.path.as_str()) && !s.path.starts_with("bin/");
    let complain = |s: &Source| Complaint {
        file: s.shown(),
        line: 1,
        rule: "no `mod` line reaches this file".to_owned(),
        why: "it is not compiled, so nothing keeps it right",
        what_to_do: "name it in its parent module, or delete it",
    };
    sources.iter().filter(orphan).map(complain).collect()
}

/// Each module starts with a sentence that says what it is.
pub fn header(source: &Source) -> Vec<Complaint> {
    if source.is_test || source.path == "main.rs" || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![Complaint {
        file: source.shown(),
        line: 1,
        rule: "the module does not start with a `//!` sentence".to_owned(),
        why: "a reader decides by the first line whether this is the file",
        what_to_do: "say in one sentence what the module is for",
    }]
}
