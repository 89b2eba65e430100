//! Which module may know which: the layers of ARCHITECTURE as data.

use super::report::Complaint;
use super::source::Source;
use super::source::Use;

/// A module (by its longest matching prefix) and the modules that it may import beside itself and what is below itself.
struct Layer {
    module: &'static str,
    may_import: &'static [&'static str],
}

const LOW: &[&str] = &["domain", "failpoints", "ports", "telemetry"];
const ALL: &[&str] =
    &["domain", "failpoints", "ports", "telemetry", "pipeline", "adapters", "admin", "config", "app", "cli", "demo"];

/// Downward only. An edge that is missing here is a design change: its own commit, with this table and the reason.
const LAYERS: &[Layer] = &[
    Layer { module: "domain", may_import: &[] },
    // For tests: they count, delay and kill, and know nothing.
    Layer { module: "failpoints", may_import: &[] },
    Layer { module: "ports", may_import: &["domain"] },
    Layer { module: "telemetry", may_import: &["domain"] },
    Layer { module: "pipeline", may_import: LOW },
    Layer { module: "adapters::kafka", may_import: LOW },
    Layer { module: "adapters::formats", may_import: LOW },
    Layer { module: "adapters::models", may_import: LOW },
    Layer { module: "adapters::postgres", may_import: LOW },
    Layer { module: "adapters::enrichers", may_import: LOW },
    // Only names its folders.
    Layer { module: "adapters", may_import: &[] },
    Layer { module: "admin", may_import: &["domain", "telemetry", "pipeline"] },
    Layer { module: "config", may_import: &["domain", "ports", "telemetry", "pipeline", "adapters", "admin"] },
    Layer { module: "app", may_import: ALL },
    Layer { module: "cli", may_import: ALL },
    Layer { module: "demo", may_import: ALL },
    Layer { module: "main", may_import: ALL },
    // The crate root only names the layers.
    Layer { module: "", may_import: &[] },
];

/// A client library and the only modules that may name it.
struct Client {
    library: &'static str,
    only_in: &'static [&'static str],
}

const CLIENTS: &[Client] = &[
    // The demo runs the mock broker of the client library.
    Client { library: "rdkafka", only_in: &["adapters::kafka", "app::demo", "demo"] },
    Client { library: "rdkafka_sys", only_in: &["adapters::kafka"] },
    // The crate `onnx` alone knows the engines.
    Client { library: "tract_onnx", only_in: &[] },
    Client { library: "ort", only_in: &[] },
    Client { library: "tidemill_onnx", only_in: &["adapters::models", "app::model"] },
    Client { library: "image", only_in: &["adapters::models"] },
    Client { library: "base64", only_in: &["adapters::models"] },
    Client { library: "tokio_postgres", only_in: &["adapters::postgres"] },
    Client { library: "postgres_types", only_in: &["adapters::postgres"] },
    Client { library: "deadpool_postgres", only_in: &["adapters::postgres"] },
    Client { library: "tokio_postgres_rustls", only_in: &["adapters::postgres"] },
    Client { library: "rustls", only_in: &["adapters::postgres"] },
    Client { library: "rustls_native_certs", only_in: &["adapters::postgres"] },
    Client { library: "axum", only_in: &["admin"] },
    Client { library: "clap", only_in: &["cli", "main"] },
    Client { library: "bincode", only_in: &["adapters::formats::bincode"] },
    Client { library: "metrics", only_in: &["telemetry"] },
    Client { library: "metrics_exporter_prometheus", only_in: &["telemetry"] },
    Client { library: "metrics_process", only_in: &["telemetry"] },
    Client { library: "tracing_subscriber", only_in: &["telemetry"] },
    Client { library: "toml", only_in: &["config", "adapters::models", "adapters::formats"] },
    Client { library: "mimalloc", only_in: &["main"] },
];

/// What `domain` may use of the standard library: everything but these. `std::time::Duration` is a number and allowed.
const IMPURE_STD: &[&[&str]] = &[
    &["time", "Instant"],
    &["time", "SystemTime"],
    &["thread"],
    &["fs"],
    &["net"],
    &["process"],
    &["env"],
    &["io"],
    &["sync", "mpsc"],
    &["os"],
];

/// Other crates that `domain` may use: they describe data, they do nothing.
const PURE_CRATES: &[&str] = &["serde", "schemars", "thiserror", "std", "core", "alloc", "crate"];

fn is_below(module: &str, prefix: &str) -> bool {
    prefix.is_empty() && module.is_empty()
        || !prefix.is_empty()
            && module.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn layer(module: &str) -> Option<&'static Layer> {
    LAYERS.iter().filter(|l| is_below(module, l.module)).max_by_key(|l| l.module.len())
}

/// Crate-internal imports follow the table.
pub fn imports(source: &Source) -> Vec<Complaint> {
    let module = source.module().join("::");
    let at = |line: usize, rule: String, what_to_do| Complaint {
        file: format!("src/{}", source.path),
        line,
        rule,
        why: "layers know only what lies below them, so that each can be read, tested and replaced alone",
        what_to_do,
    };
    let Some(own) = layer(&module) else {
        let what = "give the module a line in LAYERS of tests/tidy/layers.rs, in a commit that says why";
        return vec![at(1, format!("`{module}` has no layer"), what)];
    };
    let forbidden = |u: &Use| {
        let (krate, rest) = u.segments.split_first()?;
        // The binary sees the library as a crate of its own.
        if krate != "crate" && krate != "tidemill" || rest.is_empty() {
            return None;
        }
        let target = rest.join("::");
        let is_own = is_below(&target, own.module) && !own.module.is_empty();
        let is_allowed = own.may_import.iter().any(|m| is_below(&target, m));
        // `mod.rs` of a folder without a layer of its own may name its children.
        let is_child = own.module.is_empty() && ALL.contains(&rest[0].as_str());
        if is_own || is_allowed || is_child {
            return None;
        }
        let what = "move the thing down a layer, pass it in from `app`, or put a trait into `ports`";
        Some(at(u.line, format!("`{module}` imports `crate::{target}`, which its layer may not know"), what))
    };
    source.uses().iter().filter_map(forbidden).collect()
}

/// Client libraries stay in their adapter.
pub fn clients(source: &Source) -> Vec<Complaint> {
    let module = source.module().join("::");
    let forbidden = |u: &Use| {
        let client = CLIENTS.iter().find(|c| u.segments[0] == c.library)?;
        if client.only_in.iter().any(|m| is_below(&module, m)) || source.declares(client.library) {
            return None;
        }
        Some(Complaint {
            file: format!("src/{}", source.path),
            line: u.line,
            rule: format!("`{}` is named outside {}", client.library, client.only_in.join(", ")),
            why: "each client library has one home, so that it can be upgraded, faked and replaced in one folder",
            what_to_do: "use the port, or extend it by what is missing",
        })
    };
    source.uses().iter().filter_map(forbidden).collect()
}

/// `domain` decides and touches nothing.
pub fn purity(source: &Source) -> Vec<Complaint> {
    if source.module().first() != Some(&"domain") {
        return Vec::new();
    }
    let local: Vec<_> = source.uses().iter().map(|u| u.segments.last().cloned().unwrap_or_default()).collect();
    let forbidden = |u: &Use| {
        let first = u.segments[0].as_str();
        let is_std = matches!(first, "std" | "core" | "alloc");
        let impure_std = is_std && IMPURE_STD.iter().any(|p| u.segments[1..].starts_with(&p.map_owned()));
        // A path that begins with a type, or with a name that was imported, is judged at its `use` line.
        let is_crate = first.starts_with(|c: char| c.is_ascii_lowercase()) && !local.iter().any(|l| l == first);
        let foreign = is_crate && !PURE_CRATES.contains(&first) && !PRIMITIVES.contains(&first);
        (impure_std || foreign).then(|| Complaint {
            file: format!("src/{}", source.path),
            line: u.line,
            rule: format!("`domain` uses `{}`", u.segments.join("::")),
            why: "domain has no clock, I/O, async, threads or logging, so that every decision can be replayed from a seed",
            what_to_do: "pass time, randomness and results in as arguments, or move the code to `pipeline` or an adapter",
        })
    };
    source.uses().iter().filter_map(forbidden).collect()
}

/// Names that look like crates and are types of the language.
const PRIMITIVES: &[&str] = &[
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64", "str",
    "char", "bool",
];

trait MapOwned {
    fn map_owned(&self) -> Vec<String>;
}

impl MapOwned for [&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|s| (*s).to_owned()).collect()
    }
}
