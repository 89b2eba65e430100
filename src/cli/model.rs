//! Arguments of `tidemill model`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::Subcommand;

use super::args::duration;

#[derive(Clone, Debug, Subcommand)]
pub enum ModelCommand {
    /// Score rows with a bare ONNX file: JSON lines in, JSON lines out.
    Run(ModelRunArgs),
    /// Say what a model takes and makes, its operators, memory, and what is missing.
    Inspect(ModelInspectArgs),
    /// Write a first bundle for an ONNX file and some events: model.toml from its inputs and outputs, and golden records.
    Init(ModelInitArgs),
    /// Send events through a bundle, as the daemon would: JSON lines in, the columns of each as JSON lines out.
    Predict(ModelPredictArgs),
    /// Measure what a record costs: decoding, scoring and encoding of recorded events on one thread, by batch size.
    Bench(ModelBenchArgs),
}

#[derive(Clone, Debug, Args)]
pub struct ModelInitArgs {
    /// The model file; its external data must lie beside it.
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// File of events, one JSON object a line, of the kind that the topic holds; - is the standard input.
    #[arg(long, value_name = "FILE")]
    pub events: PathBuf,
    /// Folder to write; it must not exist yet.
    #[arg(long, value_name = "FOLDER", default_value = "bundle")]
    pub out: PathBuf,
    /// Name of the model in every stored row; left out, the file's name.
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Clone, Debug, Args)]
pub struct ModelPredictArgs {
    /// Folder of the bundle.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// File of events, one JSON object a line; - is the standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub events: PathBuf,
    /// Events that are scored at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: u32,
}

#[derive(Clone, Debug, Args)]
pub struct ModelBenchArgs {
    /// Folder of the bundle.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// File of recorded events, one a line; left out, those of the golden records.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// A pipeline's configuration: its [event], [[skip]] and [table] count, its [model] does not. Left out, their defaults.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Time for each batch size.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    pub time: Duration,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ModelInspectArgs {
    /// The model file, or the folder of a bundle.
    #[arg(value_name = "MODEL.onnx|BUNDLE")]
    pub model: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Each input line is an object from graph-input name to that row's value without the batch axis (number, boolean, text or
/// nested array; NaN and infinities as "NaN", "Infinity", "-Infinity"); each output line the same for graph outputs.
#[derive(Clone, Debug, Args)]
pub struct ModelRunArgs {
    /// The model file; its external data must lie beside it.
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// File of rows; - is the standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub rows: PathBuf,
    /// Rows that are scored at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: u32,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Which library computes.
#[derive(Clone, Debug, Args)]
pub struct EngineArgs {
    /// tract (with kernels of our own), or onnxruntime in a build that has it.
    #[arg(long, value_name = "ENGINE", default_value = "tract", value_parser = ["tract", "onnxruntime"])]
    pub engine: String,
    /// The onnxruntime library, if not named by ORT_DYLIB_PATH.
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
}
