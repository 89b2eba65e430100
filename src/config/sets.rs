//! `--set a.b=c`: the last word over the file.

use toml::de::DeTable;
use toml::de::DeValue;

use super::error::Finding;
use super::place::Place;
use super::place::Source;
use super::place::Step;
use super::place::show;
use super::toml_tree;
use super::tree::Entry;
use super::tree::Node;
use super::tree::Value;

/// Puts every `--set` of `source` into the tree, in order.
pub fn apply(root: &mut Node, source: &Source) -> Vec<Finding> {
    let set =
        |(i, text): (usize, &String)| one(root, i, text).err().map(|m| Finding::at(source, Place::Set(i), "", &m));
    source.sets.iter().enumerate().filter_map(set).collect()
}

fn one(root: &mut Node, number: usize, text: &str) -> Result<(), String> {
    let (key, value) = text.split_once('=').ok_or("write --set key=value, such as --set log.level=debug")?;
    let path = path(key).ok_or("is not a path of keys such as `log.level` or `topics.0.name`")?;
    let value = parse(value.trim(), number)?;
    put(root, &path, value, number)
}

/// Keys of a dotted path; quoted parts may hold dots.
fn path(key: &str) -> Option<Vec<String>> {
    let text = format!("{} = 0", key.trim());
    let mut value = DeValue::Table(DeTable::parse(&text).ok()?.into_inner());
    let mut path = Vec::new();
    while let DeValue::Table(table) = value {
        let mut entries = table.into_iter();
        let (key, next) = entries.next()?;
        if entries.next().is_some() {
            return None;
        }
        path.push(key.into_inner().into_owned());
        value = next.into_inner();
    }
    Some(path)
}

/// Lists, tables and quoted texts are TOML; anything else is taken as it stands and becomes what its key wants.
fn parse(text: &str, number: usize) -> Result<Node, String> {
    if !text.starts_with(['[', '{', '"', '\'']) {
        return Ok(Node::text(text, true, Place::Set(number)));
    }
    let value = DeValue::parse(text).map_err(|e| format!("the value is not TOML: {}", e.message()))?;
    Ok(toml_tree::value(value, &|_| Place::Set(number)))
}

fn put(root: &mut Node, path: &[String], value: Node, number: usize) -> Result<(), String> {
    let mut node = root;
    let mut done = Vec::new();
    for key in path {
        let here = show(&done);
        node = match &mut node.value {
            Value::Table(entries) => {
                let at = entries.iter().position(|e| e.key == *key).unwrap_or_else(|| {
                    let node = Node { value: Value::Table(Vec::new()), place: Place::Set(number) };
                    entries.push(Entry { key: key.clone(), at: Place::Set(number), node });
                    entries.len() - 1
                });
                done.push(Step::Key(key.clone()));
                &mut entries[at].node
            }
            Value::List(items) => {
                let index =
                    key.parse::<usize>().map_err(|_| format!("`{here}` is a list: name an element by number"))?;
                let count = items.len();
                done.push(Step::Index(index));
                items.get_mut(index).map(|x| &mut x.1).ok_or_else(|| format!("`{here}` has only {count} elements"))?
            }
            _ => return Err(format!("`{here}` holds a value, not a table")),
        };
    }
    *node = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_may_be_quoted_and_name_list_elements() {
        assert_eq!(path("a.\"b.c\".0").unwrap(), ["a", "b.c", "0"]);
        assert_eq!(path("a.b\nc"), None);
        assert_eq!(path(""), None);
    }
}
