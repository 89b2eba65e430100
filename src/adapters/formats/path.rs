//! Paths into an event as people write them: `card.country`, `items[0].price`, `"a.b".c`.

use super::error::Error;
use crate::domain::fields::Step;

/// Reads a path. Keys are separated by dots; a key with a dot, bracket, quote or space stands in double quotes, where
/// `\"` and `\\` are a quote and a backslash; `[n]` is the n-th element of an array, counted from 0.
///
/// # Errors
/// [`Error::Path`] with the character (from 1) where the text stops being a path.
pub fn parse(text: &str) -> Result<Vec<Step>, Error> {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader { text, chars: &chars, at: 0 };
    let mut steps = vec![reader.key()?];
    while let Some(c) = reader.peek() {
        match c {
            '.' => {
                reader.at += 1;
                steps.push(reader.key()?);
            }
            '[' => steps.push(reader.index()?),
            _ => return reader.fail("expected `.` or `[`"),
        }
    }
    Ok(steps)
}

/// Writes steps as [`parse`] reads them.
pub fn show(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Index(n) => text.push_str(&format!("[{n}]")),
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                if !key.is_empty() && key.chars().all(is_bare) {
                    text.push_str(key);
                } else {
                    text.push('"');
                    text.push_str(&key.replace('\\', "\\\\").replace('"', "\\\""));
                    text.push('"');
                }
            }
        }
    }
    text
}

fn is_bare(c: char) -> bool {
    !matches!(c, '.' | '[' | ']' | '"' | '\\') && !c.is_whitespace() && !c.is_control()
}

struct Reader<'a> {
    text: &'a str,
    chars: &'a [char],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn fail<T>(&self, problem: &'static str) -> Result<T, Error> {
        Err(Error::Path { text: self.text.into(), at: self.at + 1, problem })
    }

    fn key(&mut self) -> Result<Step, Error> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let start = self.at;
        while self.peek().is_some_and(is_bare) {
            self.at += 1;
        }
        if self.at == start {
            return self.fail("expected a key (quote keys with special characters)");
        }
        Ok(Step::Key(self.chars[start..self.at].iter().collect()))
    }

    fn quoted(&mut self) -> Result<Step, Error> {
        let mut key = String::new();
        self.at += 1;
        loop {
            match self.peek() {
                None => return self.fail("the quoted key does not end"),
                Some('"') => break,
                Some('\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(c @ ('"' | '\\')) => key.push(c),
                        _ => return self.fail("only `\\\"` and `\\\\` may follow a backslash"),
                    }
                }
                Some(c) => key.push(c),
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(Step::Key(key))
    }

    fn index(&mut self) -> Result<Step, Error> {
        self.at += 1;
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        let digits: String = self.chars[start..self.at].iter().collect();
        let Ok(index) = digits.parse::<u32>() else {
            self.at = start;
            return self.fail("expected an index such as `[0]`");
        };
        if self.peek() != Some(']') {
            return self.fail("expected `]`");
        }
        self.at += 1;
        Ok(Step::Index(index))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(k: &str) -> Step {
        Step::Key(k.into())
    }

    #[test]
    fn paths_are_read() {
        assert_eq!(parse("card.country").unwrap(), [key("card"), key("country")]);
        assert_eq!(parse("items[0].price").unwrap(), [key("items"), Step::Index(0), key("price")]);
        assert_eq!(parse("m[1][22]").unwrap(), [key("m"), Step::Index(1), Step::Index(22)]);
        assert_eq!(parse(r#""a.b".c"#).unwrap(), [key("a.b"), key("c")]);
        assert_eq!(parse(r#""q\"\\"[3]"#).unwrap(), [key("q\"\\"), Step::Index(3)]);
        assert_eq!(parse("@type.größe-1").unwrap(), [key("@type"), key("größe-1")]);
    }

    #[test]
    fn mistakes_name_their_place() {
        for (text, at) in [
            ("", 1),
            ("a.", 3),
            (".a", 1),
            ("a..b", 3),
            ("a[", 3),
            ("a[x]", 3),
            ("a[1", 4),
            ("a[4294967296]", 3),
            ("a b", 2),
            ("\"a", 3),
            ("\"a\\n\"", 4),
            ("[0]", 1),
            ("a]", 2),
            ("a[0]b", 5),
        ] {
            match parse(text) {
                Err(Error::Path { at: got, .. }) => assert_eq!(got, at, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(first in ".{0,6}", rest in prop::collection::vec(prop_oneof![
            ".{0,6}".prop_map(Step::Key), any::<u32>().prop_map(Step::Index)], 0..5)) {
            let mut steps = vec![Step::Key(first)];
            steps.extend(rest);
            prop_assert_eq!(parse(&show(&steps)).unwrap(), steps);
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            let _ = parse(&text);
        }
    }
}
