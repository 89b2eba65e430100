//! Logs on stderr: JSON for machines, text for a terminal.

use std::io::IsTerminal;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::log_queue::LogQueue;
use crate::domain::units::ByteSize;

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, or directives such as `info,tidemill::pipeline=debug`.
    pub level: String,
    /// How it is written. `auto` is text on a terminal and JSON elsewhere.
    pub format: Format,
    /// Lines that wait to be written, in bytes. What finds no room, since nobody reads stderr, is dropped and counted.
    pub buffer: ByteSize,
}

impl Default for Options {
    fn default() -> Options {
        Options { level: "info".to_owned(), format: Format::Auto, buffer: ByteSize::mib(1) }
    }
}

/// How a log line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Auto,
    Json,
    Text,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log.level: `{level}` is not a level or a list of directives: {source}")]
    Level { level: String, source: tracing_subscriber::filter::ParseError },
    #[error("the thread that writes the log cannot be started: {0}")]
    Thread(std::io::Error),
    #[error("logging was started twice in this process")]
    Twice,
}

impl Options {
    fn filter(&self) -> Result<EnvFilter, LogError> {
        let level = self.level.clone();
        EnvFilter::builder().parse(&self.level).map_err(|source| LogError::Level { level, source })
    }

    /// Whether `level` can be understood; for `check`.
    ///
    /// # Errors
    /// [`LogError::Level`].
    pub fn validate(&self) -> Result<(), LogError> {
        self.filter().map(|_| ())
    }

    fn is_json(&self, terminal: bool) -> bool {
        match self.format {
            Format::Auto => !terminal,
            Format::Json => true,
            Format::Text => false,
        }
    }
}

/// Starts logging for the whole process; call once, first thing.
///
/// # Errors
/// A level that cannot be understood, no thread to write with, or a second call.
pub fn init(options: &Options) -> Result<(), LogError> {
    let terminal = std::io::stderr().is_terminal();
    let queue = LogQueue::start(std::io::stderr(), options.buffer.0 as usize).map_err(LogError::Thread)?;
    let subscriber = subscriber(options, terminal, queue.of_the_process())?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(options: &Options, terminal: bool, writer: W) -> Result<Subscriber, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let base = tracing_subscriber::fmt().with_env_filter(options.filter()?).with_writer(writer);
    if options.is_json(terminal) {
        let json = base.json().flatten_event(true).with_current_span(false).with_span_list(false);
        Ok(Box::new(json.finish()))
    } else {
        Ok(Box::new(base.with_ansi(terminal && std::env::var_os("NO_COLOR").is_none()).finish()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, terminal: bool, level: &str) -> String {
        let sink = Sink::default();
        let out = sink.clone();
        let options = Options { level: level.to_owned(), format, ..Options::default() };
        let subscriber = subscriber(&options, terminal, move || out.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(partition = 3, "claimed");
            tracing::debug!("not seen at info");
        });
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn auto_is_one_flat_json_object_a_line_away_from_a_terminal() {
        let text = logged(Format::Auto, false, "info");
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(
            (&line["message"], &line["partition"], &line["level"]),
            (&"claimed".into(), &3.into(), &"INFO".into())
        );
    }

    #[test]
    fn text_and_levels_do_as_they_are_told() {
        let text = logged(Format::Text, false, "debug");
        assert!(text.contains("claimed partition=3") && text.contains("not seen at info"), "{text}");
        assert!(!logged(Format::Auto, true, "info").starts_with('{'));
        assert_eq!(logged(Format::Json, true, "error"), "");
        let wrong = Options { level: "a=b=c".to_owned(), ..Options::default() };
        assert!(wrong.validate().unwrap_err().to_string().starts_with("log.level: `a=b=c`"));
    }
}
