//! Leaves of a JSON object in the order of the text, which is the only hint at the order of a matrix's columns.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_json::Value as Json;

/// A value whose objects keep their order.
enum Ordered {
    Object(Vec<(String, Ordered)>),
    Leaf(Json),
}

/// A value that is no object, with its path.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    pub path: String,
    pub value: Json,
}

/// All leaves of an event; keys with dots or quotes are left out, since a path would not find them.
///
/// # Errors
/// If the text is no JSON.
pub fn leaves(text: &str) -> Result<Vec<Leaf>, serde_json::Error> {
    let mut out = vec![];
    flatten(String::new(), serde_json::from_str(text)?, &mut out);
    Ok(out)
}

fn flatten(path: String, value: Ordered, out: &mut Vec<Leaf>) {
    match value {
        Ordered::Leaf(value) => out.push(Leaf { path, value }),
        Ordered::Object(fields) => {
            let plain = |key: &String| !key.is_empty() && !key.contains(['.', '"', '[', ']']);
            for (key, value) in fields.into_iter().filter(|(key, _)| plain(key)) {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(path, value, out);
            }
        }
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ordered, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
        let mut fields = vec![];
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Ordered::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ordered, A::Error> {
        let mut all = vec![];
        while let Some(value) = seq.next_element()? {
            all.push(value);
        }
        Ok(Ordered::Leaf(Json::Array(all)))
    }

    fn visit_bool<E>(self, v: bool) -> Result<Ordered, E> {
        Ok(Ordered::Leaf(v.into()))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Ordered, E> {
        Ok(Ordered::Leaf(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Ordered, E> {
        Ok(Ordered::Leaf(v.into()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Ordered, E> {
        Ok(Ordered::Leaf(v.into()))
    }

    fn visit_str<E>(self, v: &str) -> Result<Ordered, E> {
        Ok(Ordered::Leaf(v.into()))
    }

    fn visit_unit<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Leaf(Json::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_keep_the_order_of_the_text() {
        let all = leaves(r#"{"z":1,"b":{"y":[1,2],"a":"t"},"a":null,"no.path":1}"#).unwrap();
        let paths: Vec<&str> = all.iter().map(|l| l.path.as_str()).collect();
        assert_eq!(paths, ["z", "b.y", "b.a", "a"]);
    }
}
