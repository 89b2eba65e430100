//! Pictures: PNG, JPEG or plain pixels become the numbers of an input.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::DynamicImage;
use image::ImageFormat;
use image::ImageReader;
use image::Limits;
use image::imageops::FilterType;
use tidemill_onnx::tensor::ElementType;

use crate::adapters::models::features::cell;
use crate::adapters::models::features::cell::Cell;
use crate::adapters::models::features::cell::FromCell;
use crate::adapters::models::manifest::feature::Encoding;
use crate::adapters::models::manifest::feature::Image;
use crate::adapters::models::manifest::feature::Layout;
use crate::adapters::models::manifest::feature::Resize;

/// Pixels of a picture that is scaled down: a small file may claim to hold any number.
const PIXELS_MAX: u64 = 1 << 24;
/// Memory that decoding one picture may take.
const DECODE_BYTES_MAX: u64 = 256 << 20;

/// How pictures become numbers.
#[derive(Clone, Debug)]
pub struct Picture {
    spec: Image,
    /// What each pixel value becomes, 256 for each channel.
    values: Vec<f64>,
}

impl Picture {
    /// # Errors
    /// If pixel values, scaled, cannot be of the input's type.
    pub fn new(spec: &Image, element_type: ElementType) -> Result<Picture, String> {
        let of = |all: &[f64], channel: usize, otherwise| match all {
            [] => otherwise,
            [one] => *one,
            all => all[channel],
        };
        let mut values = vec![];
        for channel in 0..spec.channels as usize {
            let (mean, std) = (of(&spec.mean, channel, 0.0), of(&spec.std, channel, 1.0));
            values.extend((0..256).map(|v| (f64::from(v) * spec.scale - mean) / std));
        }
        for value in &values {
            cell::fits(Cell::Float(*value), element_type).map_err(|why| format!("pixels in {element_type}: {why}"))?;
        }
        Ok(Picture { spec: spec.clone(), values })
    }

    /// Shape of one picture.
    pub fn shape(&self) -> [usize; 3] {
        let (width, height, channels) = self.size();
        match self.spec.layout {
            Layout::Nchw => [channels, height, width],
            Layout::Nhwc => [height, width, channels],
        }
    }

    fn size(&self) -> (usize, usize, usize) {
        (self.spec.width as usize, self.spec.height as usize, self.spec.channels as usize)
    }

    /// Appends the numbers of one picture: `bytes` as they are, or the base64 text of them.
    ///
    /// # Errors
    /// One sentence without contents; nothing that could be used was appended then.
    pub fn append<T: FromCell>(&self, bytes: &[u8], out: &mut Vec<T>) -> Result<(), String> {
        let pixels = self.pixels(bytes)?;
        self.place(&pixels, out).map_err(str::to_owned)
    }

    /// A picture of zeros.
    pub fn dark<T: FromCell>(&self) -> Vec<T> {
        let (width, height, channels) = self.size();
        let mut out = vec![];
        match self.place(&vec![0; width * height * channels], &mut out) {
            Ok(()) => out,
            Err(_) => vec![T::default(); width * height * channels],
        }
    }

    /// Pixel values in the wanted size, row by row, channels together.
    fn pixels(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let (width, height, channels) = self.size();
        let wanted = width * height * channels;
        let decoded;
        // no base64 text has the length of what it stands for, and none begins like a picture
        let bytes = match self.spec.encoding {
            Encoding::Raw if bytes.len() == wanted => bytes,
            Encoding::File if bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"\xff\xd8") => bytes,
            _ => {
                decoded =
                    STANDARD.decode(without_prefix(bytes)).map_err(|_| "neither a picture nor its base64 text")?;
                &decoded
            }
        };
        if self.spec.encoding == Encoding::Raw {
            return if bytes.len() == wanted {
                Ok(bytes.to_vec())
            } else {
                Err(format!("{} bytes of pixels, wanted are {wanted}", bytes.len()))
            };
        }
        let picture = decode(bytes, |w, h| match self.spec.resize {
            Resize::Exact if (w, h) != (self.spec.width, self.spec.height) => {
                Err(format!("{w} x {h} pixels, wanted are {width} x {height}"))
            }
            _ => Ok(()),
        })?;
        let picture = match channels {
            1 => grey(picture),
            3 => DynamicImage::from(picture.to_rgb8()),
            _ => DynamicImage::from(picture.to_rgba8()),
        };
        if (picture.width(), picture.height()) == (self.spec.width, self.spec.height) {
            return Ok(picture.into_bytes());
        }
        Ok(picture.resize_exact(self.spec.width, self.spec.height, FilterType::Triangle).into_bytes())
    }

    fn place<T: FromCell>(&self, pixels: &[u8], out: &mut Vec<T>) -> Result<(), &'static str> {
        let (width, height, channels) = self.size();
        let table: Vec<T> =
            self.values.iter().map(|v| T::from_cell(Cell::Float(*v))).collect::<Result<_, &'static str>>()?;
        let of = |channel: usize, value: u8| table[channel * 256 + usize::from(value)].clone();
        out.reserve(width * height * channels);
        match self.spec.layout {
            Layout::Nhwc => {
                for pixel in pixels.chunks_exact(channels) {
                    out.extend(pixel.iter().enumerate().map(|(c, v)| of(c, *v)));
                }
            }
            Layout::Nchw => {
                for channel in 0..channels {
                    out.extend(pixels[channel..].iter().step_by(channels).map(|v| of(channel, *v)));
                }
            }
        }
        Ok(())
    }
}

/// What browsers write before the base64 text.
fn without_prefix(text: &[u8]) -> &[u8] {
    let prefix = text.starts_with(b"data:").then(|| text.iter().position(|c| *c == b',')).flatten();
    prefix.map_or(text, |comma| &text[comma + 1..])
}

/// Decodes a picture whose size `size` accepts, within bounds.
fn decode(bytes: &[u8], size: impl Fn(u32, u32) -> Result<(), String>) -> Result<DynamicImage, String> {
    let format = if bytes.starts_with(b"\x89PNG") {
        ImageFormat::Png
    } else if bytes.starts_with(b"\xff\xd8") {
        ImageFormat::Jpeg
    } else {
        return Err("neither PNG nor JPEG".into());
    };
    // messages of the decoders may quote the file
    let broken = |_| "the picture is broken".to_owned();
    let (width, height) = ImageReader::with_format(Cursor::new(bytes), format).into_dimensions().map_err(broken)?;
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(format!("{width} x {height} pixels, at most {PIXELS_MAX} are decoded"));
    }
    size(width, height)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    reader.decode().map_err(broken)
}

/// Grey by the weights of ITU-R 601-2, as Pillow's mode L; a grey picture stays as it is.
fn grey(picture: DynamicImage) -> DynamicImage {
    if !picture.color().has_color() {
        return DynamicImage::from(picture.to_luma8());
    }
    let rgb = picture.to_rgb8();
    let luma = |p: &image::Rgb<u8>| {
        let [r, g, b] = p.0.map(u32::from);
        ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
    };
    let values: Vec<u8> = rgb.pixels().map(luma).collect();
    match image::GrayImage::from_raw(rgb.width(), rgb.height(), values) {
        Some(grey) => DynamicImage::from(grey),
        None => DynamicImage::from(rgb),
    }
}
