//! The effective configuration: every key with its value and where it came from; secrets are `***`.

use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;
use toml::Value;

use super::load::Origins;
use super::place::Step;
use super::place::quoted;

/// A configuration that has no TOML form; only a bug in an `Options` struct can cause it.
#[derive(Debug, thiserror::Error)]
#[error("cannot show the configuration: {0}")]
pub struct ShowError(#[from] toml::ser::Error);

/// TOML text that would load to the same configuration (secrets apart), with the origin of each key behind it.
///
/// # Errors
/// When `config` has no TOML form.
pub fn render<T: Serialize>(config: &T, origins: &Origins) -> Result<String, ShowError> {
    let mut out = String::new();
    if let Value::Table(table) = Value::try_from(config)? {
        section(&table, &mut Vec::new(), origins, &mut out);
    }
    Ok(out.trim_start().to_owned())
}

/// SHA-256 of the effective configuration, secrets masked: equal in two processes that run the same settings.
///
/// # Errors
/// When `config` has no TOML form.
pub fn digest<T: Serialize>(config: &T) -> Result<String, ShowError> {
    let text = Value::try_from(config)?.to_string();
    Ok(Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect())
}

fn section(table: &toml::Table, path: &mut Vec<Step>, origins: &Origins, out: &mut String) {
    for (key, value) in table.iter().filter(|(_, v)| !is_section(v)) {
        path.push(Step::Key(key.clone()));
        out.push_str(&format!("{} = {value}  # {}\n", quoted(key), origins.of(path)));
        path.pop();
    }
    for (key, value) in table.iter().filter(|(_, v)| is_section(v)) {
        path.push(Step::Key(key.clone()));
        let name = header(path);
        match value {
            Value::Table(inner) => {
                out.push_str(&format!("\n[{name}]\n"));
                section(inner, path, origins, out);
            }
            Value::Array(items) => {
                for (i, inner) in items.iter().enumerate() {
                    path.push(Step::Index(i));
                    out.push_str(&format!("\n[[{name}]]\n"));
                    section(inner.as_table().expect("is_section looked"), path, origins, out);
                    path.pop();
                }
            }
            _ => {}
        }
        path.pop();
    }
}

fn is_section(value: &Value) -> bool {
    match value {
        Value::Table(_) => true,
        Value::Array(items) => !items.is_empty() && items.iter().all(Value::is_table),
        _ => false,
    }
}

/// A table header names keys only; elements of lists are counted by their order.
fn header(path: &[Step]) -> String {
    let keys: Vec<_> = path.iter().filter_map(|s| if let Step::Key(k) = s { Some(quoted(k)) } else { None }).collect();
    keys.join(".")
}
