//! `${VAR}` and `${VAR:-default}` in string leaves, after parsing: a value can never become syntax.

use super::error::Finding;
use super::place::Source;
use super::place::show;
use super::tree::Node;
use super::tree::Value;

/// Looks a variable up.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Fills every string leaf of the tree in place. `$$` is a dollar sign; a missing variable is a finding at its leaf.
pub fn fill(root: &mut Node, source: &Source, lookup: Lookup<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    root.leaves_mut(&mut Vec::new(), &mut |path, node| {
        let Value::Text { text, raw } = &mut node.value else { return };
        if !text.contains('$') {
            return;
        }
        match expand(text, lookup) {
            Ok((filled, whole)) => {
                *text = filled;
                *raw |= whole;
            }
            Err(message) => findings.push(Finding::at(source, node.place.clone(), &show(path), &message)),
        }
    });
    findings
}

/// The filled text, and whether it was one variable and nothing else.
fn expand(text: &str, lookup: Lookup<'_>) -> Result<(String, bool), String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut whole = false;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if let Some(after) = tail.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = tail.strip_prefix('{') {
            let end = inner.find('}').ok_or("`${` has no closing brace; write `$$` for a dollar sign")?;
            whole = rest.len() == text.len() && at == 0 && end + 1 == inner.len();
            out.push_str(&variable(&inner[..end], lookup)?);
            rest = &inner[end + 1..];
        } else {
            out.push('$');
            rest = tail;
        }
    }
    out.push_str(rest);
    Ok((out, whole))
}

fn variable(inner: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!("`${{{name}}}` is not a variable name; write `$$` for a dollar sign"));
    }
    match (lookup(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!("variable {name} is not set; set it or write `${{{name}:-default}}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(String, bool), String> {
        expand(text, &|name| match name {
            "A" => Some("one".into()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${A}\n[evil]".into()),
            _ => None,
        })
    }

    #[test]
    fn variables_defaults_and_dollars() {
        for (text, want, whole) in [
            ("${A}", "one", true),
            ("x${A}", "xone", false),
            ("${A}${A}", "oneone", false),
            ("${NONE:-d:-e}", "d:-e", true),
            ("${EMPTY:-d}", "d", true),
            ("${EMPTY}", "", true),
            ("$${A} costs 5$", "${A} costs 5$", false),
            ("${TRICK}", "${A}\n[evil]", true),
        ] {
            assert_eq!(check(text), Ok((want.to_owned(), whole)), "{text}");
        }
        for (text, part) in [("${NONE}", "NONE is not set"), ("${A", "closing"), ("${a b}", "not a variable name")] {
            assert!(check(text).unwrap_err().contains(part), "{text}");
        }
    }
}
