//! Which elements of an axis an output position is made of, and with what weights.
//!
//! Coordinates are computed in `f32`, as in onnxruntime: the nearest element of a position on a border depends on it.

use crate::bad;
use crate::error::OpError;

/// How positions of the output become positions of the input (`coordinate_transformation_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    AlignCorners,
    Asymmetric,
    CropAndResize,
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    /// tf_half_pixel_for_nn, up to version 11.
    HalfPixelForNearest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    Floor,
    Ceil,
    PreferFloor,
    PreferCeil,
    /// As Resize and Upsample had it before version 11: down when enlarging, up when reducing.
    Simple,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    Nearest(Nearest),
    Linear,
    /// With the parameter `a` of Keys, "Cubic Convolution Interpolation for Digital Image Processing" (1981).
    Cubic(f32),
}

/// What one axis becomes.
#[derive(Clone, Copy, Debug)]
pub struct Scaling {
    pub input: usize,
    pub output: usize,
    pub scale: f32,
    /// Start and end of the crop, 0 and 1 for all.
    pub roi: (f32, f32),
}

/// Everything else that the weights depend on.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub mode: Mode,
    pub coordinates: Coordinates,
    pub antialias: bool,
    pub exclude_outside: bool,
}

/// Elements with their weights; `None` for a position outside of a crop.
pub type Taps = Option<Vec<(usize, f32)>>;

impl Coordinates {
    pub fn read(name: &str) -> Result<Coordinates, OpError> {
        Ok(match name {
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            "tf_crop_and_resize" => Coordinates::CropAndResize,
            "half_pixel" => Coordinates::HalfPixel,
            "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "tf_half_pixel_for_nn" => Coordinates::HalfPixelForNearest,
            _ => bad!("coordinate_transformation_mode `{name}` is not known"),
        })
    }

    fn original(self, x: usize, s: &Scaling) -> f32 {
        let (x, input, output) = (x as f32, s.input as f32, s.output as f32);
        match self {
            Coordinates::AlignCorners if s.output == 1 => 0.0,
            Coordinates::AlignCorners => x * (input - 1.0) / (output - 1.0),
            Coordinates::Asymmetric => x / s.scale,
            Coordinates::CropAndResize if s.output > 1 => {
                s.roi.0 * (input - 1.0) + x * (s.roi.1 - s.roi.0) * (input - 1.0) / (output - 1.0)
            }
            Coordinates::CropAndResize => 0.5 * (s.roi.0 + s.roi.1) * (input - 1.0),
            Coordinates::PytorchHalfPixel if s.output <= 1 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (x + 0.5) / s.scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = output / (s.scale * input);
                input / 2.0 * (1.0 - adjustment) + (x + 0.5) / s.scale - 0.5
            }
            Coordinates::HalfPixelForNearest => (x + 0.5) / s.scale,
        }
    }
}

impl Nearest {
    pub fn read(name: &str) -> Result<Nearest, OpError> {
        Ok(match name {
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            "round_prefer_floor" | "" => Nearest::PreferFloor,
            "round_prefer_ceil" => Nearest::PreferCeil,
            _ => bad!("nearest_mode `{name}` is not known"),
        })
    }

    fn round(self, x: f32, scale: f32) -> f32 {
        match self {
            Nearest::Floor => x.floor(),
            Nearest::Ceil => x.ceil(),
            Nearest::PreferFloor if x == x.floor() + 0.5 => x.floor(),
            Nearest::PreferFloor | Nearest::PreferCeil => x.round(),
            Nearest::Simple if scale < 1.0 => x.ceil(),
            Nearest::Simple => x.trunc(),
        }
    }
}

impl Rule {
    /// The taps of every output position; `s.input` is positive.
    pub fn taps(&self, s: &Scaling) -> Vec<Taps> {
        (0..s.output).map(|x| self.position(self.coordinates.original(x, s), s)).collect()
    }

    fn position(&self, x: f32, s: &Scaling) -> Taps {
        let last = s.input - 1;
        if self.coordinates == Coordinates::CropAndResize && !(x >= 0.0 && x <= last as f32) {
            return None;
        }
        // Far outside, every neighbour is the border's element anyway.
        let x = x.clamp(-1e9, 1e9);
        let clamp = |i: i64| i.clamp(0, last as i64) as usize;
        Some(match self.mode {
            Mode::Nearest(nearest) => vec![(clamp(nearest.round(x, s.scale) as i64), 1.0)],
            Mode::Linear if self.antialias => self.smoothed(x, s, 1.0, |d| (1.0 - d).max(0.0)),
            Mode::Cubic(a) if self.antialias => self.smoothed(x, s, 2.0, |d| keys(d, a)),
            Mode::Linear => {
                let x = x.clamp(0.0, last as f32);
                let below = (x as usize).min(last);
                let weight = x - below as f32;
                if weight == 0.0 { vec![(below, 1.0)] } else { vec![(below, 1.0 - weight), (below + 1, weight)] }
            }
            Mode::Cubic(a) => {
                let below = x.floor() as i64;
                let weight = |i: i64| keys((x - i as f32).abs(), a);
                self.weighted((below - 1..=below + 2).map(|i| (i, weight(i))), s)
            }
        })
    }

    /// A filter that grows as the axis shrinks, of `support` elements to both sides.
    fn smoothed(&self, x: f32, s: &Scaling, support: f32, filter: impl Fn(f32) -> f32) -> Vec<(usize, f32)> {
        let shrink = s.scale.min(1.0);
        // An axis that shrinks to nothing looks at all of the input, and no further.
        let support = (support / shrink).min(2.0 * s.input as f32 + 2.0);
        let center = x + 0.5;
        let (from, to) = ((center - support + 0.5).floor() as i64, (center + support + 0.5).floor() as i64);
        let all = (from..to).map(|i| (i, filter(((i as f32 - center + 0.5) * shrink).abs())));
        let taps = self.weighted(all, s);
        let total: f32 = taps.iter().map(|t| t.1).sum();
        taps.into_iter().map(|(i, w)| (i, w / total)).collect()
    }

    /// Elements beyond the border are the border's, or do not count and the others count more.
    fn weighted(&self, all: impl Iterator<Item = (i64, f32)>, s: &Scaling) -> Vec<(usize, f32)> {
        let mut taps: Vec<(usize, f32)> = vec![];
        for (i, weight) in all {
            let inside = i.clamp(0, s.input as i64 - 1);
            if inside != i && self.exclude_outside {
                continue;
            }
            match taps.last_mut() {
                Some(last) if last.0 == inside as usize => last.1 += weight,
                _ => taps.push((inside as usize, weight)),
            }
        }
        if self.exclude_outside {
            let total: f32 = taps.iter().map(|t| t.1).sum();
            taps.iter_mut().for_each(|t| t.1 /= total);
        }
        taps
    }
}

/// Weight of an element at the distance `d`.
fn keys(d: f32, a: f32) -> f32 {
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(coordinates: Coordinates, nearest: Nearest, input: usize, output: usize) -> Vec<usize> {
        let rule = Rule { mode: Mode::Nearest(nearest), coordinates, antialias: false, exclude_outside: false };
        let s = Scaling { input, output, scale: output as f32 / input as f32, roi: (0.0, 1.0) };
        rule.taps(&s).into_iter().map(|t| t.unwrap()[0].0).collect()
    }

    #[test]
    fn nearest_elements() {
        use Coordinates::*;
        assert_eq!(nearest(Asymmetric, Nearest::Floor, 2, 4), [0, 0, 1, 1]);
        assert_eq!(nearest(Asymmetric, Nearest::PreferFloor, 2, 4), [0, 0, 1, 1]);
        assert_eq!(nearest(Asymmetric, Nearest::PreferCeil, 2, 4), [0, 1, 1, 1]);
        assert_eq!(nearest(HalfPixel, Nearest::PreferFloor, 4, 2), [0, 2]);
        assert_eq!(nearest(AlignCorners, Nearest::PreferFloor, 3, 5), [0, 0, 1, 1, 2]);
        assert_eq!(nearest(PytorchHalfPixel, Nearest::PreferFloor, 5, 1), [0]);
    }

    #[test]
    fn weights_sum_to_one() {
        for (mode, antialias) in [(Mode::Linear, false), (Mode::Linear, true), (Mode::Cubic(-0.75), true)] {
            let rule = Rule { mode, coordinates: Coordinates::HalfPixel, antialias, exclude_outside: true };
            for (input, output) in [(1, 4), (7, 3), (5, 5), (100, 1)] {
                let s = Scaling { input, output, scale: output as f32 / input as f32, roi: (0.0, 1.0) };
                for taps in rule.taps(&s) {
                    let sum: f32 = taps.unwrap().iter().map(|t| t.1).sum();
                    assert!((sum - 1.0).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn a_scale_of_nearly_nothing_stays_bounded() {
        let rule =
            Rule { mode: Mode::Linear, coordinates: Coordinates::HalfPixel, antialias: true, exclude_outside: false };
        let s = Scaling { input: 3, output: 1, scale: 1e-30, roi: (0.0, 1.0) };
        assert!(rule.taps(&s)[0].as_ref().unwrap().len() <= 3);
    }
}
