//! What is wrong with a manifest, as far as it can be told without the graph.

use std::collections::BTreeSet;

use crate::adapters::models::manifest::Manifest;
use crate::adapters::models::manifest::feature::Encoding;
use crate::adapters::models::manifest::feature::Feature;
use crate::adapters::models::manifest::feature::FeatureType;
use crate::adapters::models::manifest::feature::Fill;
use crate::adapters::models::manifest::feature::FillWord;
use crate::adapters::models::manifest::feature::Image;
use crate::adapters::models::manifest::feature::Resize;
use crate::adapters::models::manifest::output::Output;
use crate::adapters::models::manifest::output::OutputType;

/// Longest name that Postgres keeps whole.
const NAME_MAX: usize = 63;
/// Elements of one array: each is a field of its own for the decoder.
pub const ELEMENTS_MAX: u64 = 4096;
/// Pixel values of one picture.
const PIXELS_MAX: u64 = 1 << 24;

impl Manifest {
    /// Everything that is wrong and can be told without the graph.
    pub fn problems(&self) -> Vec<String> {
        let mut out = vec![];
        for (key, text) in [("name", &self.name), ("version", &self.version)] {
            if text.trim().is_empty() || text.contains('\0') || text.len() > 200 {
                out.push(format!("`{key}` must be a text of 1 to 200 bytes"));
            }
        }
        if self.features.is_empty() {
            out.push("there is no [[feature]]".into());
        }
        if self.outputs.is_empty() {
            out.push("there is no [[output]]".into());
        }
        for (i, feature) in self.features.iter().enumerate() {
            feature.problems(&format!("feature {} ({})", i + 1, feature.title()), &mut out);
        }
        let mut names = BTreeSet::new();
        for output in &self.outputs {
            output.problems(&mut out);
            if !names.insert(&output.name) {
                out.push(format!("two outputs have the name `{}`", output.name));
            }
        }
        out
    }
}

impl Feature {
    /// The path, or both paths, for messages.
    pub fn title(&self) -> String {
        match (&self.field, &self.equal, &self.constant) {
            (Some(field), ..) => field.clone(),
            (None, Some([a, b]), _) => format!("{a} = {b}"),
            (None, None, Some(_)) => "constant".into(),
            (None, None, None) => "?".into(),
        }
    }

    fn problems(&self, at: &str, out: &mut Vec<String>) {
        let mut say = |what: &str| out.push(format!("{at}: {what}"));
        let sources = [self.field.is_some(), self.equal.is_some(), self.constant.is_some()];
        if sources.iter().filter(|s| **s).count() != 1 {
            say("exactly one of `field`, `equal` and `constant` is needed");
        }
        match (&self.field, &self.equal) {
            (Some(_), _) if self.kind.is_none() => say("`type` is missing"),
            (None, Some(_)) if self.kind.is_some() => say("`equal` takes no `type`, it compares texts"),
            (None, None) if self.kind.is_some() => say("`constant` takes no `type`, its value says it"),
            _ => {}
        }
        if self.equal.is_some() && !self.wrong.is_reject() && self.wrong != self.missing {
            say("`wrong` must be \"reject\" or the same as `missing`");
        }
        let category = self.kind == Some(FeatureType::Category);
        if category == self.values.is_empty() {
            say("`values` belongs to type \"category\" and must not be empty there");
        }
        let distinct: BTreeSet<_> = self.values.iter().collect();
        if distinct.len() != self.values.len() {
            say("`values` names a text twice");
        }
        if self.unit.is_some() && self.kind != Some(FeatureType::Timestamp) {
            say("`unit` belongs to type \"timestamp\"");
        }
        self.fills(&mut say);
        self.arrays(&mut say);
        match (self.kind == Some(FeatureType::Image), &self.image) {
            (true, Some(image)) => image.problems(&mut say),
            (true, None) => say("type \"image\" needs `image = { width = .., height = .. }`"),
            (false, Some(_)) => say("`image` belongs to type \"image\""),
            (false, None) => {}
        }
    }

    fn fills(&self, say: &mut dyn FnMut(&str)) {
        use FeatureType::*;
        let whole = matches!(self.kind, Some(Integer | Boolean | Category));
        let pad = self.pad.clone().unwrap_or_default();
        for (key, fill) in [("missing", &self.missing), ("wrong", &self.wrong), ("pad", &pad)] {
            match (fill, self.kind) {
                (Fill::Word(FillWord::Reject), _) => {}
                (_, Some(Image)) => say(&format!("`{key}` must be \"reject\" for an image")),
                (Fill::Text(_), Some(Text)) => {}
                (_, Some(Text)) => say(&format!("`{key}` must be \"reject\" or {{ text = \"...\" }} for a text")),
                (Fill::Text(_), _) => say(&format!("`{key}` must be \"reject\", \"nan\" or a number for this type")),
                (Fill::Number(n), _) if !n.is_finite() => {
                    say(&format!("`{key}` must be finite; write \"nan\" for NaN"))
                }
                (Fill::Number(n), _) if whole && n.fract() != 0.0 => {
                    say(&format!("`{key}` must be a whole number for this type"))
                }
                _ => {}
            }
        }
        if self.kind == Some(Text) && !self.missing.is_reject() && !self.wrong.is_reject() && self.wrong != self.missing
        {
            say("`wrong` must be \"reject\" or the same text as `missing`");
        }
    }

    fn arrays(&self, say: &mut dyn FnMut(&str)) {
        let Some(length) = &self.length else {
            if self.pad.is_some() || self.truncate {
                say("`pad` and `truncate` belong to an array: give its `length`");
            }
            return;
        };
        if self.equal.is_some() || self.kind == Some(FeatureType::Image) {
            say("`length` belongs to `field` and `constant`, and not to images");
        }
        let axes = length.axes();
        let elements = axes.iter().try_fold(1u64, |n, d| n.checked_mul(u64::from(*d)));
        if axes.is_empty() || elements.is_none_or(|n| n == 0 || n > ELEMENTS_MAX) {
            say(&format!("`length` must make 1 to {ELEMENTS_MAX} elements"));
        }
        if self.pad == Some(Fill::default()) {
            say("`pad` is a value; leave it out to reject arrays that are too short");
        }
        if let Some(pad) = &self.pad
            && !self.missing.is_reject()
            && self.missing != *pad
        {
            say("`missing` must be \"reject\" or the same as `pad`: a missing array is padded like an empty one");
        }
        let text = self.kind == Some(FeatureType::Text);
        if text && self.pad.is_some() && !self.wrong.is_reject() && Some(&self.wrong) != self.pad.as_ref() {
            say("`wrong` must be \"reject\" or the same as `pad`");
        }
    }
}

impl Image {
    fn problems(&self, say: &mut dyn FnMut(&str)) {
        let size = u64::from(self.width) * u64::from(self.height);
        if size == 0 || size.saturating_mul(u64::from(self.channels)) > PIXELS_MAX {
            say(&format!("`width`, `height` and `channels` must make 1 to {PIXELS_MAX} values"));
        }
        if !matches!(self.channels, 1 | 3 | 4) {
            say("`channels` must be 1, 3 or 4");
        }
        for (key, values) in [("mean", &self.mean), ("std", &self.std)] {
            if !(values.len() <= 1 || values.len() == self.channels as usize) {
                say(&format!("`{key}` needs one number, or one for each channel"));
            }
        }
        let all = [self.scale];
        if all.iter().chain(&self.mean).chain(&self.std).any(|v| !v.is_finite()) || self.std.contains(&0.0) {
            say("`scale`, `mean` and `std` must be finite, and `std` not 0");
        }
        if self.encoding == Encoding::Raw && self.resize != Resize::Exact {
            say("plain pixels do not say their size, so they cannot be resized");
        }
    }
}

impl Output {
    fn problems(&self, out: &mut Vec<String>) {
        let at = format!("output `{}`", self.name);
        if self.name.is_empty() || self.name.len() > NAME_MAX || self.name.contains('\0') {
            out.push(format!("{at}: `name` must be 1 to {NAME_MAX} bytes"));
        }
        if !self.labels.is_empty() && self.kind != OutputType::Label {
            out.push(format!("{at}: `labels` belongs to kind \"label\""));
        }
        for class in self.labels.keys().filter(|k| k.parse::<i64>().is_err()) {
            out.push(format!("{at}: `labels` has the class `{class}`, which is no whole number"));
        }
        if self.index.is_some() && self.kind == OutputType::Reals {
            out.push(format!("{at}: kind \"reals\" takes all columns, no `index`"));
        }
        if self.class.is_some() && (self.index.is_some() || self.kind == OutputType::Reals) {
            out.push(format!("{at}: `class` picks one column; it goes with neither `index` nor kind \"reals\""));
        }
    }
}
