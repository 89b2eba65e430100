//! `[[feature]]`: what of an event becomes a part of an input.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

/// A part of an input, one column mostly: exactly one of `field`, `equal` and `constant`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Name of the graph's input that this is a part of; left out, `[input] tensor` or the graph's only one.
    pub input: Option<String>,
    /// Path of the field in the event.
    pub field: Option<String>,
    /// Two paths: the feature is 1 if both are the same text, else 0.
    pub equal: Option<[String; 2]>,
    /// The same for every record: a number, a boolean or a text.
    pub constant: Option<Constant>,
    /// What the field is.
    #[serde(rename = "type")]
    pub kind: Option<FeatureType>,
    /// Texts of a category; the feature is the index in this list, -1 for a text outside it.
    #[serde(default)]
    pub values: Vec<String>,
    /// What a numeric timestamp counts since 1970.
    pub unit: Option<Unit>,
    /// The field is an array of so many elements, or nested arrays: `16`, `[4, 8]`.
    pub length: Option<Length>,
    /// What fills an array that is too short up, and null elements; left out, such a record is rejected.
    pub pad: Option<Fill>,
    /// Take the first elements of an array that is too long; otherwise such a record is rejected.
    #[serde(default)]
    pub truncate: bool,
    /// How a field of type image becomes numbers.
    pub image: Option<Image>,
    /// When the field is absent or null.
    #[serde(default)]
    pub missing: Fill,
    /// When the field has another type.
    #[serde(default)]
    pub wrong: Fill,
}

/// Type of a field, or of the elements of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeatureType {
    Number,
    Integer,
    Boolean,
    /// The text itself, for inputs of strings.
    Text,
    /// The index of a text in `values`.
    Category,
    /// Seconds since 1970 in the tensor.
    Timestamp,
    /// A picture: PNG, JPEG or plain pixels, as base64 text or as bytes; see `image`.
    Image,
}

/// Unit of a numeric timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
}

/// Elements of an array, or of nested ones from the outside in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a whole number or a list of them")]
pub enum Length {
    Flat(u32),
    Nested(Vec<u32>),
}

impl Length {
    /// Lengths from the outside in.
    pub fn axes(&self) -> &[u32] {
        match self {
            Length::Flat(n) => std::slice::from_ref(n),
            Length::Nested(all) => all,
        }
    }
}

/// A value that is the same for every record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number, a boolean or a text")]
pub enum Constant {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// What a feature is when there is no usable value: `"reject"`, `"nan"`, a number, or `{ text = "..." }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected \"reject\", \"nan\", a number or { text = \"...\" }")]
pub enum Fill {
    Word(FillWord),
    Number(f64),
    Text(TextFill),
}

/// See [`Fill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FillWord {
    /// The record is rejected.
    Reject,
    /// The feature is NaN.
    Nan,
}

/// A text in the place of one that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextFill {
    pub text: String,
}

impl Default for Fill {
    fn default() -> Fill {
        Fill::Word(FillWord::Reject)
    }
}

impl Fill {
    pub fn is_reject(&self) -> bool {
        *self == Fill::Word(FillWord::Reject)
    }
}

/// How a picture becomes numbers: pixel values times `scale`, minus `mean`, divided by `std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Pixels of the input.
    pub width: u32,
    /// Pixels of the input.
    pub height: u32,
    /// 1 is grey, 3 is RGB, 4 is RGBA; others are converted.
    #[serde(default = "rgb")]
    pub channels: u32,
    /// Order of the axes.
    #[serde(default)]
    pub layout: Layout,
    /// What is done with a picture of another size.
    #[serde(default)]
    pub resize: Resize,
    /// What the bytes are.
    #[serde(default)]
    pub encoding: Encoding,
    /// Factor for the pixel values 0 to 255, such as 0.00392156862745098 (one 255th).
    #[serde(default = "one")]
    pub scale: f64,
    /// Subtracted after `scale`: nothing, one number, or one for each channel.
    #[serde(default)]
    pub mean: Vec<f64>,
    /// Divides at last: nothing, one number, or one for each channel.
    #[serde(default)]
    pub std: Vec<f64>,
}

fn rgb() -> u32 {
    3
}

fn one() -> f64 {
    1.0
}

/// Order of a picture's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Channel, row, column: PyTorch's.
    #[default]
    Nchw,
    /// Row, column, channel: TensorFlow's.
    Nhwc,
}

/// What is done with a picture of another size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// The record is rejected.
    #[default]
    Exact,
    /// It is scaled to the size with a triangle filter, as Pillow's BILINEAR does, whatever its proportions.
    Bilinear,
}

/// What the bytes of a picture are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// PNG or JPEG, told by the first bytes.
    #[default]
    File,
    /// Pixel values, row by row, channels together; exactly `width * height * channels` bytes.
    Raw,
}
