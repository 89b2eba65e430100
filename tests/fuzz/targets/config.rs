//! The configuration reader: TOML, JSON, variables and `--set`. Whatever is written, it answers with a configuration that can
//! be shown and checked, or with findings.

use std::path::Path;

use tidemill::config;
use tidemill::config::load;
use tidemill::config::place::Source;
use tidemill::config::show;
use tidemill::config::validate;

use super::Target;
use crate::random::hash;

/// Begins a line that is an argument of `--set`.
const SET: &str = "--set ";

pub struct Config;

impl Target for Config {
    fn name(&self) -> &'static str {
        "config"
    }

    fn words(&self) -> &'static [&'static [u8]] {
        const WORDS: &[&[u8]] = &[
            b"name = \"p\"\n",
            b"[kafka]\n",
            b"brokers = [\"b:1\"]\n",
            b"topics = [\"t\"]\n",
            b"group = \"g\"\n",
            b"[kafka.options]\n",
            b"[table]\n",
            b"[table.columns]\n",
            b"[[table.fields]]\n",
            b"[[skip]]\n",
            b"[model]\n",
            b"[postgres]\n",
            b"url = \"${URL:-x}\"\n",
            b"${A}",
            b"${B:-",
            b"${",
            b"}",
            b"$$",
            b"\n--set ",
            b"kafka.group=x",
            b"skip=[{key=true,absent=true}]",
            b"\"64MiB\"",
            b"\"5s\"",
            b"= true\n",
            b"= 1\n",
            b"= [",
            b"]",
            b"{ a = 1 }",
            b"\"\"\"",
            b"'''",
            b"# c\n",
            b"1979-05-27T07:32:00Z",
            b"inf",
            b"nan",
            b"0x1f",
            b"{",
            b"\"kafka\": {",
            b"\"group\": \"g\"",
            b",",
            b"a.b.c.d = 1\n",
            b"\\u0000",
            b"[a.b.c.d.e.f]\n",
        ];
        WORDS
    }

    fn executions(&self) -> u64 {
        4_000
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let Ok(text) = std::str::from_utf8(input) else { return 1 };
        let sets: Vec<String> = text.lines().filter_map(|l| l.strip_prefix(SET)).map(str::to_owned).collect();
        let text: String = text.lines().filter(|l| !l.starts_with(SET)).flat_map(|l| [l, "\n"]).collect();
        let is_json = text.trim_start().starts_with('{');
        let name = if is_json { "fuzz.json" } else { "fuzz.toml" };
        let whole = match is_json {
            true => serde_json::from_str::<serde_json::Value>(&text).is_ok(),
            false => toml::from_str::<toml::Table>(&text).is_ok(),
        };
        let variables = |name: &str| (name == "A").then(|| "value of A".to_owned());
        let source = Source { name: name.into(), text, sets };
        match load::read::<config::Config>(source, Path::new("/folder"), &variables) {
            Ok((config, origins)) => {
                assert!(whole, "a configuration was read from a text that is none");
                let shown = show::render(&config, &origins).expect("a configuration can be shown");
                assert!(!shown.is_empty());
                let found = validate::validate(&config, &origins).err().map_or(0, |e| e.to_string().lines().count());
                hash(&[b"read", &[is_json.into(), found.min(30) as u8]])
            }
            Err(errors) => {
                let told = errors.to_string();
                assert!(!told.trim().is_empty(), "refused without a word");
                let first = told.lines().next().unwrap_or_default().rsplit(": ").next().unwrap_or_default();
                hash(&[first
                    .split('`')
                    .next()
                    .unwrap_or_default()
                    .replace(|c: char| c.is_ascii_digit(), "")
                    .as_bytes()])
            }
        }
    }
}
