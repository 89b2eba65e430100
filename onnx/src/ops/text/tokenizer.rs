//! Tokenizer of Microsoft's domain, which skl2onnx writes in front of n-grams: texts cut into words or letters.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::labels::admit_texts;
use crate::ops::text::pattern::Longest;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("Tokenizer", tokenizer).of(MICROSOFT)];

/// Tokens before and behind a text that is marked.
const MARKS: [&str; 2] = ["\u{2}", "\u{3}"];

#[derive(Debug)]
enum Cut {
    Letters,
    /// What matches is a token.
    Tokens(Box<Longest>),
    /// What matches lies between tokens; one separator after the other.
    Separators(Vec<Longest>),
}

#[derive(Debug)]
struct Tokenizer {
    cut: Cut,
    mark: bool,
    padding: String,
    /// Letters that a token needs.
    letters: usize,
}

impl Kernel for Tokenizer {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        if !(1..=2).contains(&x.rank()) {
            bad!("the shape {} is neither [n] nor [rows, n]", show(x.shape()));
        }
        let mut shape = Shape::from_slice(x.shape());
        if x.is_empty() {
            // onnxruntime answers one axis less
            *shape.last_mut().expect("at least one axis") = 0;
            return Ok(one(Tensor::zeros::<String>(&shape)?));
        }
        let rows: Vec<Vec<&str>> = x.slice::<String>()?.iter().map(|text| self.tokens(text)).collect();
        let most = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = if most > 0 && self.mark { most + 2 } else { most };
        shape.push(width);
        admit_texts(volume(&shape, 1)?, self.padding.len())?;
        let mut y = Tensor::zeros::<String>(&shape)?;
        if width > 0 {
            for (to, row) in y.slice_mut::<String>()?.chunks_exact_mut(width).zip(rows) {
                self.write(to, &row);
            }
        }
        Ok(one(y))
    }
}

impl Tokenizer {
    fn write(&self, to: &mut [String], row: &[&str]) {
        let marks: &[&str] = if self.mark { &MARKS } else { &[] };
        let all = marks.iter().take(1).chain(row).chain(marks.iter().skip(1)).copied();
        to.iter_mut().zip(all.chain(std::iter::repeat(&*self.padding))).for_each(|(to, token)| to.push_str(token));
    }

    fn tokens<'a>(&self, text: &'a str) -> Vec<&'a str> {
        match &self.cut {
            Cut::Letters => text.char_indices().map(|(i, c)| &text[i..i + c.len_utf8()]).collect(),
            Cut::Tokens(pattern) => self.matches(pattern, text),
            Cut::Separators(patterns) => {
                let mut row = vec![text];
                for pattern in patterns {
                    let mut cut = vec![];
                    row.iter().for_each(|part| self.between(pattern, part, &mut cut));
                    row = cut;
                }
                row
            }
        }
    }

    fn is_long(&self, text: &str) -> bool {
        text.len() >= self.letters && text.chars().take(self.letters).count() == self.letters
    }

    fn matches<'a>(&self, pattern: &Longest, text: &'a str) -> Vec<&'a str> {
        let mut found = vec![];
        if !self.is_long(text) {
            return found;
        }
        let mut from = 0;
        while let Some((start, end)) = pattern.find(text, from) {
            if self.is_long(&text[start..end]) {
                found.push(&text[start..end]);
                from = end;
            } else {
                match next_letter(text, start) {
                    Some(next) => from = next,
                    None => break,
                }
            }
        }
        found
    }

    fn between<'a>(&self, pattern: &Longest, text: &'a str, found: &mut Vec<&'a str>) {
        let mut from = 0;
        while let Some((start, end)) = pattern.find(text, from) {
            if self.is_long(&text[from..start]) {
                found.push(&text[from..start]);
            }
            // a separator that matches nothing takes a letter with it
            match if end > start { Some(end) } else { next_letter(text, start) } {
                Some(next) => from = next,
                None => return,
            }
        }
        if self.is_long(&text[from..]) {
            found.push(&text[from..]);
        }
    }
}

fn next_letter(text: &str, at: usize) -> Option<usize> {
    text[at..].chars().next().map(|c| at + c.len_utf8())
}

fn tokenizer(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let given = attributes.int_or("mincharnum", 1)?;
    let letters = match usize::try_from(given) {
        Ok(letters) if letters > 0 => letters,
        _ => bad!("attribute `mincharnum` is {given}"),
    };
    let separators = attributes.texts("separators")?.unwrap_or_default();
    let expression = attributes.text_or("tokenexp", "")?;
    let cut = match (&separators[..], expression) {
        ([], "") => bad!("one of the attributes `separators` and `tokenexp` is needed"),
        ([], ".") => Cut::Letters,
        ([only], _) if only.is_empty() => Cut::Letters,
        ([], expression) => Cut::Tokens(Box::new(Longest::new(expression)?)),
        (all, _) => Cut::Separators(all.iter().map(|s| Longest::new(s)).collect::<Result<_, _>>()?),
    };
    if matches!(cut, Cut::Letters) && letters > 1 {
        bad!("attribute `mincharnum` is {letters}, but tokens are single letters");
    }
    let padding = attributes.text_or("pad_value", "")?.into();
    Ok(Box::new(Tokenizer { cut, mark: attributes.flag("mark", false)?, padding, letters }))
}
