//! What may not stand in production code.

use proc_macro2::TokenStream;
use proc_macro2::TokenTree;
use syn::visit::Visit;

use super::report::Complaint;
use super::source::Source;
use super::source::is_cfg_test;
use super::source::line;

/// Modules that may hold `unsafe`, and why it cannot be avoided there.
pub const UNSAFE: &[(&str, &str)] = &[
    (
        "adapters::kafka::native",
        "calls of librdkafka that rdkafka does not wrap, or wraps with a panic on foreign bytes",
    ),
    (
        "adapters::kafka::fetched",
        "many records a call of librdkafka, which rdkafka does not wrap: a fifth of a record's cost",
    ),
    ("app::pages", "one call of prctl, for which every crate would be a new dependency"),
    ("failpoints::ending", "SIGKILL to the own process; not in a default or release build"),
    (
        "adapters::formats::json::marked",
        "three comparisons of 16 bytes at once, which save 22 % of the plain reader's instructions",
    ),
    ("onnx::dense::simd", "vector instructions, chosen by what the processor has; lengths are checked at the door"),
    ("onnx::dense::simd::lanes", "the vector instructions themselves"),
    ("onnx::dense::simd::tile", "the inner loops over panels whose lengths the caller has checked"),
    ("onnx::trees::fast::blocks", "vector instructions, chosen by what the processor has"),
    ("onnx::trees::fast::columns", "a search in keys of a checked number, without a check at every step"),
    ("onnx::trees::fast::lanes::simd", "vector instructions: loads, stores and a gather of checked numbers"),
    ("onnx::trees::fast::lanes::walk", "the one call of what is compiled for AVX-512, behind a check of the processor"),
    ("onnx::trees::fast::flat", "the walk of a tree, whose indices are checked once, when it is laid out"),
];

const REMINDERS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];
const PLACEHOLDERS: [&str; 3] = ["todo", "unimplemented", "dbg"];

fn complain(source: &Source, line: usize, rule: String, why: &'static str, what_to_do: &'static str) -> Complaint {
    Complaint { file: source.shown(), line, rule, why, what_to_do }
}

/// `unsafe` only in the listed modules.
pub fn unsafe_code(source: &Source) -> Vec<Complaint> {
    let module = source.full_module();
    if UNSAFE.iter().any(|(listed, reason)| *listed == module && !reason.is_empty()) {
        return Vec::new();
    }
    let tokens = tokens(source);
    let unsafe_at = |t: &(usize, String)| t.1 == "unsafe";
    let complain = |t: &(usize, String)| {
        let why = "unsafe code must be found in one place and be read by a second pair of eyes";
        let what = "do it safely, or move it to one small module and list that with its reason in tests/tidy/text.rs";
        complain(source, t.0, "`unsafe` outside the listed modules".to_owned(), why, what)
    };
    tokens.iter().filter(|t| unsafe_at(t)).map(complain).collect()
}

/// No reminders anywhere, no placeholders in production code.
pub fn leftovers(source: &Source) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (i, text) in source.text.lines().enumerate() {
        let words = || text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for reminder in REMINDERS.iter().filter(|r| words().any(|w| w == **r)) {
            let why = "a reminder in the source is read by nobody";
            let what = "do it now, or open an issue and describe the limit in a sentence";
            found.push(complain(source, i + 1, format!("`{reminder}` is left over"), why, what));
        }
    }
    let mut seen = Calls::default();
    source.items().for_each(|item| seen.visit_item(item));
    for (at, name) in seen.macros.into_iter().filter(|m| PLACEHOLDERS.contains(&m.1.as_str())) {
        let why = "a placeholder is a crash, or noise, that was forgotten";
        found.push(complain(source, at, format!("`{name}!` is left over"), why, "write the code or remove the line"));
    }
    found
}

/// `unwrap()` says nothing about why it cannot fail.
pub fn unwrap(source: &Source) -> Vec<Complaint> {
    let mut seen = Calls::default();
    source.items().for_each(|item| seen.visit_item(item));
    let why = "a crash must say which belief was wrong";
    let what = "return an error, or use expect(\"why it cannot fail\")";
    seen.unwraps.into_iter().map(|at| complain(source, at, "`unwrap()` outside tests".to_owned(), why, what)).collect()
}

#[derive(Default)]
struct Calls {
    macros: Vec<(usize, String)>,
    unwraps: Vec<usize>,
}

impl<'ast> Visit<'ast> for Calls {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_cfg_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "unwrap" && call.args.is_empty() {
            self.unwraps.push(line(call.method.span()));
        }
        syn::visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, m: &'ast syn::Macro) {
        if let Some(last) = m.path.segments.last() {
            self.macros.push((line(last.ident.span()), last.ident.to_string()));
        }
        // The inside of a macro is not parsed; `.unwrap()` in it shows as neighbouring words.
        let mut inside = Vec::new();
        flatten(m.tokens.clone(), &mut inside);
        for pair in inside.windows(3) {
            if pair[0].1 == "." && pair[1].1 == "unwrap" && pair[2].1 == "()" {
                self.unwraps.push(pair[1].0);
            }
        }
        syn::visit::visit_macro(self, m);
    }
}

/// All words of the production part with their lines.
fn tokens(source: &Source) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for item in source.items() {
        flatten(quote(source, item), &mut all);
    }
    all
}

/// The item's own text as tokens, on the lines of the file.
fn quote(source: &Source, item: &syn::Item) -> TokenStream {
    let (first, last) = super::source::lines(item);
    let text: String = "\n".repeat(first - 1)
        + &source.text.lines().skip(first - 1).take(last - first + 1).collect::<Vec<_>>().join("\n");
    text.parse().unwrap_or_else(|e| panic!("{}:{first}: {e}", source.shown()))
}

fn flatten(stream: TokenStream, out: &mut Vec<(usize, String)>) {
    for token in stream {
        match token {
            TokenTree::Group(group) => {
                if group.stream().is_empty() {
                    out.push((line(group.span()), "()".to_owned()));
                }
                flatten(group.stream(), out);
            }
            other => out.push((line(other.span()), other.to_string())),
        }
    }
}
