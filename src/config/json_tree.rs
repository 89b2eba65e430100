//! JSON text to tree. serde_json judges the syntax (and depth); the walk afterwards only has to find where each value stands.

use super::error::Finding;
use super::place::Place;
use super::place::Source;
use super::tree::Entry;
use super::tree::Node;
use super::tree::Value;

/// Parses the text of `source`; a key that stands twice in one object is an error.
pub fn parse(source: &Source) -> Result<Node, Vec<Finding>> {
    if let Err(e) = serde_json::from_str::<serde_json::Value>(&source.text) {
        let start: usize = source.text.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum();
        let at = (start + e.column().saturating_sub(1)).min(source.text.len());
        let message = e.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        return Err(vec![Finding::at(source, Place::File(at..at + 1), "", message)]);
    }
    let mut walk = Walk { text: &source.text, at: 0, twice: Vec::new() };
    let node = walk.value();
    if walk.twice.is_empty() {
        return Ok(node);
    }
    let finding = |place: Place| Finding::at(source, place, "", "this key stands twice in one object: keep one");
    Err(walk.twice.into_iter().map(finding).collect())
}

/// A walk over text that is known to be valid JSON.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    twice: Vec<Place>,
}

impl Walk<'_> {
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    /// True when the closing byte came; steps over a comma.
    fn ended(&mut self, close: u8) -> bool {
        if self.peek() == b',' {
            self.at += 1;
        }
        let ended = self.peek() == close;
        self.at += usize::from(ended);
        ended
    }

    fn value(&mut self) -> Node {
        let first = self.peek();
        let start = self.at;
        let value = match first {
            b'{' => self.object(),
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.ended(b']') {
                    items.push((items.len(), self.value()));
                }
                Value::List(items)
            }
            b'"' => Value::Text { text: self.string(), raw: false },
            _ => self.scalar(),
        };
        Node { value, place: Place::File(start..self.at) }
    }

    fn object(&mut self) -> Value {
        self.at += 1;
        let mut entries: Vec<Entry> = Vec::new();
        while !self.ended(b'}') {
            let start = self.at;
            let key = self.string();
            let at = Place::File(start..self.at);
            self.peek();
            self.at += 1;
            if entries.iter().any(|e| e.key == key) {
                self.twice.push(at.clone());
            }
            let node = self.value();
            entries.push(Entry { key, at, node });
        }
        Value::Table(entries)
    }

    fn string(&mut self) -> String {
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        while bytes[self.at] != b'"' {
            self.at += if bytes[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        serde_json::from_str(&self.text[start..self.at]).expect("the document was accepted, so this string is")
    }

    fn scalar(&mut self) -> Value {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| ",]} \t\r\n".contains(c)).unwrap_or(rest.len());
        let text = &rest[..end];
        self.at += end;
        match text {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number => match number.parse::<i128>() {
                Ok(n) => Value::Int(n),
                Err(_) => Value::Float(number.parse().expect("the document was accepted, so this number is one")),
            },
        }
    }
}
