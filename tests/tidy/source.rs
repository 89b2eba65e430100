//! A source file, parsed, with its production part: everything but `#[cfg(test)]` items.

use std::collections::BTreeSet;
use std::path::Path;

use proc_macro2::Span;
use syn::Attribute;
use syn::Item;
use syn::spanned::Spanned;
use syn::visit::Visit;

pub struct Source {
    /// Folder of the crate's sources, such as `src`.
    pub root: &'static str,
    /// Path below that, with slashes.
    pub path: String,
    pub text: String,
    pub file: syn::File,
    /// The whole file is test code: only a `#[cfg(test)] mod` line names it.
    pub is_test: bool,
}

/// One path such as `crate::domain::lane::Lane`, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Use {
    pub segments: Vec<String>,
    pub line: usize,
}

impl Source {
    pub fn parse(path: &str, text: &str) -> Source {
        let file = syn::parse_file(text).unwrap_or_else(|e| panic!("src/{path}: {e}"));
        let name = path.rsplit('/').next().expect("a path has a name");
        Source {
            root: "src",
            path: path.to_owned(),
            text: text.to_owned(),
            file,
            is_test: name == "tests.rs" || path.contains("/tests/"),
        }
    }

    /// The file from the repository on.
    pub fn shown(&self) -> String {
        format!("{}/{}", self.root, self.path)
    }

    /// Module path with the crate before it, unless it is this one: `onnx::trees`.
    pub fn full_module(&self) -> String {
        let krate = self.root.strip_suffix("/src");
        krate.into_iter().chain(self.module()).collect::<Vec<_>>().join("::")
    }

    /// Module path: `adapters/kafka/mod.rs` is `["adapters", "kafka"]`; the crate root is empty.
    pub fn module(&self) -> Vec<&str> {
        let mut parts: Vec<_> = self.path.trim_end_matches(".rs").split('/').collect();
        if matches!(parts.last(), Some(&("mod" | "lib"))) {
            parts.pop();
        }
        parts
    }

    /// Items of the production part.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        let none = self.is_test;
        self.file.items.iter().filter(move |item| !none && !is_cfg_test(attributes(item)))
    }

    /// Files that the `mod` lines may name; all, or only those under `#[cfg(test)]`.
    pub fn children(&self, only_tests: bool) -> BTreeSet<String> {
        let is_root = matches!(self.path.rsplit('/').next(), Some("mod.rs" | "lib.rs" | "main.rs"));
        let folder = match self.path.rsplit_once('/') {
            Some((folder, _)) if is_root => format!("{folder}/"),
            None if is_root => String::new(),
            _ => format!("{}/", self.path.trim_end_matches(".rs")),
        };
        let names = self.file.items.iter().filter_map(|item| match item {
            Item::Mod(m) if m.content.is_none() && (!only_tests || is_cfg_test(&m.attrs)) => Some(m.ident.to_string()),
            _ => None,
        });
        names.flat_map(|name| [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")]).collect()
    }

    /// Whether a child module of this name is declared here: it hides a crate of the same name.
    pub fn declares(&self, name: &str) -> bool {
        self.file.items.iter().any(|item| matches!(item, Item::Mod(m) if m.ident == name))
    }

    /// Every path in the production part, `use` lines and inline ones; `self` and `super` are resolved.
    pub fn uses(&self) -> Vec<Use> {
        let mut paths = Paths { module: self.module().into_iter().map(str::to_owned).collect(), found: Vec::new() };
        self.items().for_each(|item| paths.visit_item(item));
        paths.found
    }
}

pub fn line(span: Span) -> usize {
    span.start().line
}

/// First and last line of a piece of syntax.
pub fn lines(what: &impl Spanned) -> (usize, usize) {
    (what.span().start().line, what.span().end().line)
}

pub fn is_cfg_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|a| {
        a.path().is_ident("test")
            || a.path().is_ident("cfg") && a.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::ExternCrate(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::ForeignMod(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Macro(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::TraitAlias(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Union(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

struct Paths {
    module: Vec<String>,
    found: Vec<Use>,
}

impl Paths {
    /// `super::x` seen from this module; other paths stay as they are.
    fn add(&mut self, segments: &[String], line: usize) {
        let mut out = Vec::new();
        match segments[0].as_str() {
            "self" => out.extend(["crate".to_owned()].into_iter().chain(self.module.iter().cloned())),
            "super" => {
                let up = segments.iter().take_while(|s| *s == "super").count();
                let keep = self.module.len().saturating_sub(up);
                out.extend(["crate".to_owned()].into_iter().chain(self.module[..keep].iter().cloned()));
            }
            _ => {}
        }
        out.extend(segments.iter().skip_while(|s| *s == "self" || *s == "super").cloned());
        self.found.push(Use { segments: out, line });
    }

    fn tree(&mut self, tree: &syn::UseTree, before: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(p) => {
                before.push(p.ident.to_string());
                self.tree(&p.tree, before);
                before.pop();
            }
            syn::UseTree::Group(g) => g.items.iter().for_each(|t| self.tree(t, before)),
            syn::UseTree::Glob(g) => self.leaf("*".to_owned(), line(g.star_token.span()), before),
            syn::UseTree::Name(n) => self.leaf(n.ident.to_string(), line(n.ident.span()), before),
            syn::UseTree::Rename(r) => self.leaf(r.ident.to_string(), line(r.ident.span()), before),
        }
    }

    fn leaf(&mut self, name: String, line: usize, before: &mut Vec<String>) {
        before.push(name);
        let segments = before.clone();
        self.add(&segments, line);
        before.pop();
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_cfg_test(&item.attrs) && item.content.is_some() {
            self.module.push(item.ident.to_string());
            syn::visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_cfg_test(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if segments.len() > 1 {
            self.add(&segments, line(path.span()));
        }
        syn::visit::visit_path(self, path);
    }
}

/// All `.rs` files below a folder of the repository, sorted.
pub fn read_all(folder: &'static str) -> Vec<Source> {
    let root = &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources").map(|e| e.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|e| e == "rs") {
                let below = entry.strip_prefix(root).expect("it is below").to_str().expect("UTF-8").replace('\\', "/");
                let text = std::fs::read_to_string(&entry).expect("a readable source");
                found.push(Source { root: folder, ..Source::parse(&below, &text) });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    mark_tests(&mut found);
    found
}

/// Marks the files that only `#[cfg(test)] mod` lines name, and what lies below them.
pub fn mark_tests(sources: &mut [Source]) {
    let roots: Vec<String> = sources.iter().flat_map(|s| s.children(true)).collect();
    for source in sources {
        let below = |root: &String| {
            let folder = root.trim_end_matches("/mod.rs").trim_end_matches(".rs");
            source.path == *root || source.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        };
        source.is_test |= roots.iter().any(below);
    }
}
