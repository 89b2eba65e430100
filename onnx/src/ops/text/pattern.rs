//! Patterns in the syntax of RE2, which onnxruntime uses, on the regular expressions of this ecosystem.
//!
//! The syntaxes differ in classes (`\w`, `\d`, `\s` and `\b` mean ASCII in RE2), in escapes, and in set operations inside
//! brackets, which RE2 does not know. Sources: the syntax pages of RE2 and of the `regex` crate.

use std::iter::Peekable;
use std::panic::RefUnwindSafe;
use std::panic::UnwindSafe;
use std::str::Chars;

use regex_automata::Anchored;
use regex_automata::Input;
use regex_automata::MatchKind;
use regex_automata::hybrid::dfa::Cache;
use regex_automata::hybrid::dfa::DFA;
use regex_automata::util::pool::Pool;

use crate::error::OpError;

type Caches = Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>>;

/// A pattern whose matches are leftmost and, of those, longest.
#[derive(Debug)]
pub struct Longest {
    /// Finds where a match starts, whichever of the alternatives it takes.
    start: regex::Regex,
    /// Follows all alternatives at once from there.
    end: DFA,
    caches: Caches,
}

impl Longest {
    /// # Errors
    /// If the pattern is not one of RE2, or too large.
    pub fn new(pattern: &str) -> Result<Longest, OpError> {
        let translated = translate(pattern)?;
        let start = regex::Regex::new(&translated).map_err(|_| refused(pattern))?;
        let config = DFA::config().match_kind(MatchKind::All);
        let end = DFA::builder().configure(config).build(&translated).map_err(|_| refused(pattern))?;
        let dfa = end.clone();
        Ok(Longest { start, end, caches: Pool::new(Box::new(move || dfa.create_cache())) })
    }

    /// Start and end of the first match at or behind `from`; what lies before still counts for `^` and `\b`.
    ///
    /// # Panics
    /// If `from` is not at a letter's start or the text's end.
    pub fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let found = self.start.find_at(text, from)?;
        let input = Input::new(text).range(found.start()..).anchored(Anchored::Yes);
        let end = self.end.try_search_fwd(&mut self.caches.get(), &input);
        Some((found.start(), end.ok().flatten().map_or(found.end(), |end| end.offset())))
    }
}

/// What a pattern that cannot be used says.
pub fn refused(pattern: &str) -> OpError {
    OpError::bad(format!("the pattern `{pattern}` is broken, too large, or not of RE2's syntax"))
}

/// The same pattern in the syntax of the `regex` crate.
///
/// # Errors
/// If an escape is unknown.
pub fn translate(pattern: &str) -> Result<String, OpError> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let c = chars.next().ok_or_else(|| refused(pattern))?;
                escape(c, &mut chars, &mut out).ok_or_else(|| refused(pattern))?;
            }
            '[' => class(&mut chars, &mut out).ok_or_else(|| refused(pattern))?,
            '{' if !is_repetition(chars.clone()) => out.push_str(r"\{"),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// Members of a class by its letter, as they stand inside brackets.
fn members(c: char) -> Option<&'static str> {
    Some(match c.to_ascii_lowercase() {
        'w' => "0-9A-Za-z_",
        'd' => "0-9",
        's' => r"\t\n\f\r ",
        _ => return None,
    })
}

/// An escape outside brackets.
fn escape(c: char, chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<()> {
    if let Some(members) = members(c) {
        let not = if c.is_ascii_uppercase() { "^" } else { "" };
        out.push_str(&format!("[{not}{members}]"));
        return Some(());
    }
    match c {
        'b' => out.push_str(r"(?-u:\b)"),
        // not at a word boundary, in a form that cannot match inside a letter
        'B' => out.push_str(r"(?-u:\B)"),
        'A' | 'z' => out.extend(['\\', c]),
        'Q' => quoted(chars, out),
        c => out.push_str(&character(c, chars)?),
    }
    Some(())
}

/// Everything up to `\E` as it is.
fn quoted(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let rest: String = chars.clone().collect();
    let (text, consumed) = match rest.find(r"\E") {
        Some(end) => (&rest[..end], rest[..end].chars().count() + 2),
        None => (&rest[..], rest.chars().count()),
    };
    out.push_str(&regex::escape(text));
    chars.by_ref().take(consumed).for_each(drop);
}

/// An escape for one letter, or for a class of Unicode.
fn character(c: char, chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    Some(match c {
        'a' | 'f' | 't' | 'n' | 'r' | 'v' => format!("\\{c}"),
        'p' | 'P' | 'x' => {
            let mut out = format!("\\{c}");
            let first = chars.next()?;
            out.push(first);
            if first == '{' {
                out.extend(chars.by_ref().take_while(|c| *c != '}'));
                out.push('}');
            } else if c == 'x' {
                out.push(chars.next()?);
            }
            out
        }
        '0'..='7' => {
            let mut code = c.to_digit(8)?;
            let mut digits = 1;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)).filter(|_| digits < 3) {
                code = code * 8 + digit;
                digits += 1;
                chars.next();
            }
            // a single digit but 0 would refer back
            if digits == 1 && c != '0' {
                return None;
            }
            format!("\\x{{{code:x}}}")
        }
        c if c.is_ascii_alphanumeric() => return None,
        c => literal(c),
    })
}

/// A letter that stands for itself, inside brackets or not.
fn literal(c: char) -> String {
    match c {
        '<' | '>' => c.into(),
        c if c.is_ascii_punctuation() => format!("\\{c}"),
        c => c.into(),
    }
}

/// Brackets, the first one read already.
fn class(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<()> {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        let c = chars.next()?;
        match c {
            ']' if !first => break,
            '[' if chars.peek() == Some(&':') => named(chars, out)?,
            '\\' if chars.peek().is_some_and(|c| members(*c).is_some()) => {
                let c = chars.next()?;
                let members = members(c)?;
                out.push_str(&if c.is_ascii_uppercase() { format!("[^{members}]") } else { members.into() });
            }
            '\\' => {
                let c = chars.next()?;
                out.push_str(&character(c, chars)?);
                range(chars, out)?;
            }
            c => {
                out.push_str(&literal(c));
                range(chars, out)?;
            }
        }
        first = false;
    }
    out.push(']');
    Some(())
}

/// `[:alpha:]`, without its first bracket.
fn named(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<()> {
    let rest: String = chars.clone().take(16).collect();
    match rest.find(":]") {
        Some(end) => {
            out.push('[');
            out.push_str(&rest[..end + 2]);
            chars.by_ref().take(end + 2).for_each(drop);
        }
        None => out.push_str(r"\["),
    }
    Some(())
}

/// The rest of a range, if the hyphen that follows is one.
fn range(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<()> {
    let mut ahead = chars.clone();
    if ahead.next() != Some('-') || matches!(ahead.peek(), None | Some(']')) {
        return Some(());
    }
    chars.next();
    out.push('-');
    let last = match chars.next()? {
        '\\' => {
            let c = chars.next()?;
            character(c, chars)?
        }
        c => literal(c),
    };
    out.push_str(&last);
    Some(())
}

/// Whether `{` is followed by `n}`, `n,}` or `n,m}`; else it stands for itself.
fn is_repetition(mut chars: Peekable<Chars<'_>>) -> bool {
    let mut digits = 0;
    while chars.next_if(char::is_ascii_digit).is_some() {
        digits += 1;
    }
    if digits > 0 && chars.next_if_eq(&',').is_some() {
        while chars.next_if(char::is_ascii_digit).is_some() {}
    }
    digits > 0 && chars.next() == Some('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(pattern: &str, text: &str) -> Option<String> {
        let (start, end) = Longest::new(pattern).unwrap().find(text, 0)?;
        Some(text[start..end].into())
    }

    #[test]
    fn the_longest_of_the_leftmost_matches_counts() {
        assert_eq!(first("a|ab", "xab").as_deref(), Some("ab"));
        assert_eq!(first("a*?", "aa").as_deref(), Some("aa"));
        assert_eq!(first("(a?)(ab)?", "ab").as_deref(), Some("ab"));
        assert_eq!(first("b", "aa"), None);
    }

    #[test]
    fn classes_and_escapes_are_those_of_re2() {
        for (pattern, text, found) in [
            (r"\w+", "é_a1é", "_a1"),
            (r"\b\w\w+\b", "x éab cd", "ab"),
            (r"[\w-]+", "é-a_é", "-a_"),
            (r"[^\s]+", "\u{a0}x y", "\u{a0}x"),
            (r"[a&&b]+", "x&ab", "&ab"),
            (r"[[a]+", "x[a", "[a"),
            (r"[]x]+", "]x", "]x"),
            (r"[a\-z]+", "b-az", "-az"),
            (r"[!-/]+", "ab+,", "+,"),
            (r"[[:digit:]]+", "x12", "12"),
            (r"\Qa.b\E+", "a.bb", "a.bb"),
            (r"\141\<", "a<", "a<"),
            (r"x{,2}", "x{,2}", "x{,2}"),
            (r"x{1,2}", "xxx", "xx"),
            (r"\pL+|\x{e9}", "1éa", "éa"),
            (r"(?i)AB", "xab", "ab"),
        ] {
            assert_eq!(first(pattern, text).as_deref(), Some(found), "{pattern}");
        }
        for pattern in [r"\1", r"a\", "[a", r"\y", "(", "a**["] {
            assert!(Longest::new(pattern).is_err(), "{pattern}");
        }
    }
}
