//! File, variables and `--set` to the typed configuration, with everything that is wrong said at once.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::de::Reader;
use super::de_error::DeError;
use super::de_error::Kind;
use super::error::ConfigErrors;
use super::error::Finding;
use super::json_tree;
use super::place::Place;
use super::place::Source;
use super::place::Step;
use super::place::show;
use super::sets;
use super::toml_tree;
use super::tree::Node;
use super::tree::Value;
use super::vars;
use super::vars::Lookup;

/// Most rounds of "set the wrong key aside and read again"; a file with more errors is not one of ours.
const ROUNDS_MAX: usize = 64;

/// Knows where every value of a loaded configuration was written: for `config show` and for rules across sections.
#[derive(Debug)]
pub struct Origins {
    source: Source,
    root: Node,
}

impl Origins {
    /// `file:line:col`, `--set key`, or `default` for a path that nobody wrote.
    pub fn of(&self, path: &[Step]) -> String {
        let mut node = &self.root;
        for step in path {
            match node.child(step) {
                Some(child) => node = child,
                None => return "default".to_owned(),
            }
        }
        self.source.label(&node.place)
    }

    /// A finding about `path` (or its nearest written parent), for a rule that looks at several keys.
    pub fn finding(&self, path: &[Step], message: &str) -> Finding {
        Finding::at(&self.source, self.root.nearest(path).place.clone(), &show(path), message)
    }
}

/// Loads a configuration; a name that ends in `.json` is read as JSON, anything else as TOML.
///
/// # Errors
/// Everything that is wrong with the file, the `--set` arguments and the variables.
pub fn load<T: DeserializeOwned>(path: &Path, sets: &[String]) -> Result<(T, Origins), ConfigErrors> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|e| ConfigErrors::new(vec![Finding::of(&name, format!("cannot read the configuration: {e}"))]))?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let source = Source { name, text, sets: sets.to_vec() };
    read(source, &folder, &|name| std::env::var(name).ok())
}

/// The same from text, with the variables passed in. The format follows the name in `source`.
///
/// # Errors
/// As [`load`].
pub fn read<T: DeserializeOwned>(source: Source, folder: &Path, env: Lookup<'_>) -> Result<(T, Origins), ConfigErrors> {
    let is_json = Path::new(&source.name).extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    let parsed = if is_json { json_tree::parse(&source) } else { toml_tree::parse(&source) };
    let mut root = parsed.map_err(ConfigErrors::new)?;
    if !matches!(root.value, Value::Table(_)) {
        let finding = Finding::at(&source, Place::File(0..0), "", "the configuration must be a table of sections");
        return Err(ConfigErrors::new(vec![finding]));
    }
    let mut findings = vars::fill(&mut root, &source, env);
    // A `--set` is typed in a shell, which has filled its variables already.
    findings.extend(sets::apply(&mut root, &source));
    let value = deserialize(&root, &source, folder, &mut findings);
    match value {
        Some(value) if findings.is_empty() => Ok((value, Origins { source, root })),
        _ => Err(ConfigErrors::new(findings)),
    }
}

/// Reads the tree; on an error notes it, takes the wrong node out and reads again, so that one look shows all.
fn deserialize<T: DeserializeOwned>(
    root: &Node,
    source: &Source,
    folder: &Path,
    findings: &mut Vec<Finding>,
) -> Option<T> {
    let mut tree = root.clone();
    let mut removed: BTreeSet<String> = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let mut error = match T::deserialize(Reader { node: &tree, folder }) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if error.place.is_none() {
            error.settle(&tree);
        }
        let subject = error.subject();
        let follows = matches!(error.kind, Kind::Missing(_)) && removed.contains(&subject);
        let known = findings.iter().any(|f| !f.path.is_empty() && f.path == subject);
        if !follows && !known {
            findings.push(finding(source, &error, &subject));
        }
        if !tree.remove(&error.path) {
            return None;
        }
        removed.insert(show(&error.path));
    }
    None
}

fn finding(source: &Source, error: &DeError, subject: &str) -> Finding {
    let mut place = error.place.clone().unwrap_or(Place::File(0..0));
    if let (Kind::Missing(_), Place::File(range)) = (&error.kind, &place) {
        // A missing key has no place of its own: point at the head of its table, not at all of it.
        place = Place::File(range.start..range.start);
    }
    Finding::at(source, place, subject, &error.to_string())
}

#[cfg(test)]
mod tests;
