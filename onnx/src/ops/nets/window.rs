//! Where windows of convolutions and pools lie: kernel shapes, strides, dilations, pads, and the outputs that follow.

use smallvec::SmallVec;

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::Attributes;
use crate::unsupported;

/// Bound of a stride, a dilation, a pad and a kernel's side: sums and products of two of them stay far from overflow.
const SIDE: i64 = 1 << 30;

/// How the pads come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    Given,
    Valid,
    /// The odd element at the end.
    SameUpper,
    /// The odd element at the beginning.
    SameLower,
}

/// Attributes that Conv, ConvTranspose and the pools share.
#[derive(Clone, Debug)]
pub struct Window {
    pub kernel: Option<Vec<usize>>,
    pub strides: Option<Vec<usize>>,
    pub dilations: Option<Vec<usize>>,
    /// All beginnings, then all ends.
    pub pads: Option<Vec<usize>>,
    pub padding: Padding,
    /// A last window that lies only partly inside counts.
    pub ceil: bool,
    /// Automatic padding looks at the kernel alone, not at its dilation, and may leave elements out: so do the pools of
    /// onnxruntime, unlike its convolutions.
    pub pool: bool,
}

/// One spatial axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Padding; negative where elements are left out.
    pub before: isize,
    pub after: isize,
}

/// Spatial axes, outermost first.
pub type Axes = SmallVec<[Axis; 3]>;

impl Window {
    /// # Errors
    /// If an attribute is out of bounds.
    pub fn read(attributes: &Attributes) -> Result<Window, OpError> {
        let sides = |name: &str, least: i64| -> Result<Option<Vec<usize>>, OpError> {
            let Some(values) = attributes.ints(name)? else { return Ok(None) };
            if let Some(wrong) = values.iter().find(|v| !(least..=SIDE).contains(v)) {
                bad!("attribute `{name}` holds {wrong}");
            }
            Ok(Some(values.iter().map(|v| *v as usize).collect()))
        };
        let padding = match attributes.text_or("auto_pad", "NOTSET")? {
            "NOTSET" | "" => Padding::Given,
            "VALID" => Padding::Valid,
            "SAME_UPPER" => Padding::SameUpper,
            "SAME_LOWER" => Padding::SameLower,
            other => bad!("auto_pad `{other}` is not known"),
        };
        let pads = sides("pads", 0)?;
        if let Some(pads) = &pads
            && pads.len() % 2 != 0
        {
            bad!("{} pads", pads.len());
        }
        Ok(Window {
            kernel: sides("kernel_shape", 1)?,
            strides: sides("strides", 1)?,
            dilations: sides("dilations", 1)?,
            pads,
            padding,
            ceil: attributes.flag("ceil_mode", false)?,
            pool: false,
        })
    }

    /// The same of a pool.
    ///
    /// # Errors
    /// If an attribute is out of bounds.
    pub fn of_pool(attributes: &Attributes) -> Result<Window, OpError> {
        Ok(Window { pool: true, ..Window::read(attributes)? })
    }

    /// The `i`-th of `values` for `rank` spatial axes, `otherwise` if the attribute is left out.
    pub fn side(values: &Option<Vec<usize>>, rank: usize, i: usize, otherwise: usize) -> Result<usize, OpError> {
        match values {
            None => Ok(otherwise),
            Some(v) if v.len() == rank => Ok(v[i]),
            Some(v) => bad!("{} sides for {rank} spatial axes", v.len()),
        }
    }

    /// Pads before and after the `i`-th axis, as given.
    pub fn given(&self, rank: usize, i: usize) -> Result<(usize, usize), OpError> {
        match &self.pads {
            None => Ok((0, 0)),
            Some(v) if v.len() == 2 * rank => Ok((v[i], v[rank + i])),
            Some(v) => bad!("{} pads for {rank} spatial axes", v.len()),
        }
    }

    /// Places the windows of `kernel` sides over an input with the spatial axes `input`.
    ///
    /// # Errors
    /// If attributes and input do not fit, or there are more than three spatial axes.
    pub fn place(&self, input: &[usize], kernel: &[usize]) -> Result<Axes, OpError> {
        let rank = input.len();
        if rank > 3 {
            unsupported!("{rank} spatial axes");
        }
        if kernel.len() != rank || self.kernel.as_ref().is_some_and(|k| k != kernel) {
            bad!("a kernel of {kernel:?} for {rank} spatial axes");
        }
        (0..rank)
            .map(|i| {
                let stride = Window::side(&self.strides, rank, i, 1)?;
                let dilation = Window::side(&self.dilations, rank, i, 1)?;
                self.axis(input[i], kernel[i], stride, dilation, self.given(rank, i)?)
            })
            .collect()
    }

    fn axis(
        &self,
        input: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        pads: (usize, usize),
    ) -> Result<Axis, OpError> {
        if kernel == 0 || kernel > SIDE as usize {
            bad!("a kernel's side of {kernel}");
        }
        let span = (kernel - 1) * dilation + 1;
        let (before, after) = match self.padding {
            Padding::Given => (pads.0 as isize, pads.1 as isize),
            Padding::Valid => (0, 0),
            Padding::SameUpper | Padding::SameLower => {
                let needed = (input.div_ceil(stride).max(1) - 1) * stride + if self.pool { kernel } else { span };
                let needed = needed as isize - input as isize;
                let needed = if self.pool { needed } else { needed.max(0) };
                // The odd one of a negative padding goes the other way: both halves are rounded to 0.
                match self.padding {
                    Padding::SameUpper => (needed / 2, needed - needed / 2),
                    _ => ((needed + 1) / 2, needed - (needed + 1) / 2),
                }
            }
        };
        let padded = input as isize + before + after;
        let Some(room) = usize::try_from(padded).ok().and_then(|p| p.checked_sub(span)) else {
            bad!("a window of {span} over {input} elements with {before} and {after} of padding");
        };
        let mut output = if self.ceil { room.div_ceil(stride) } else { room / stride } + 1;
        // A window that would start in the padding after the input does not count (as in onnxruntime and PyTorch).
        if self.ceil && ((output - 1) * stride) as isize >= input as isize + before {
            output = output.saturating_sub(1);
        }
        Ok(Axis { input, output, kernel, stride, dilation, before, after })
    }
}

impl Axis {
    /// An axis of length 1 that changes nothing: a 1-d convolution is a 3-d one with two of them.
    pub const UNIT: Axis = Axis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0 };

    /// The input position under the tap `k` of the window `o`; `None` in the padding.
    pub fn at(&self, o: usize, k: usize) -> Option<usize> {
        usize::try_from(self.position(o, k)).ok().filter(|i| *i < self.input)
    }

    fn position(&self, o: usize, k: usize) -> isize {
        (o * self.stride + k * self.dilation) as isize - self.before
    }

    /// The input position under the tap `k` of the window `o`, which lies inside.
    pub fn first(&self, o: usize, k: usize) -> usize {
        self.position(o, k).max(0) as usize
    }

    /// The windows `[from, to)` whose tap `k` lies inside the input.
    pub fn inside(&self, k: usize) -> (usize, usize) {
        let start = self.position(0, k);
        let reach = |end: isize| ((end - start).max(0) as usize).div_ceil(self.stride).min(self.output);
        (reach(0), reach(self.input as isize).max(reach(0)))
    }

    /// The taps `[from, to)` of the window `o` that lie inside the input.
    pub fn taps(&self, o: usize) -> (usize, usize) {
        let start = self.position(o, 0);
        let reach = |end: isize| ((end - start).max(0) as usize).div_ceil(self.dilation).min(self.kernel);
        (reach(0), reach(self.input as isize).max(reach(0)))
    }
}

/// Exactly three axes, with units in front.
pub fn three(axes: &[Axis]) -> [Axis; 3] {
    let mut all = [Axis::UNIT; 3];
    all[3 - axes.len()..].copy_from_slice(axes);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(padding: Padding, ceil: bool) -> Window {
        Window { kernel: None, strides: None, dilations: None, pads: None, padding, ceil, pool: false }
    }

    #[test]
    fn outputs_and_pads() {
        let axis = |padding, ceil, input, kernel, stride, dilation, pads| {
            let a = window(padding, ceil).axis(input, kernel, stride, dilation, pads).unwrap();
            (a.output, a.before, a.after)
        };
        let pool = Window { pool: true, ..window(Padding::SameUpper, false) };
        let a = pool.axis(6, 1, 3, 2, (0, 0)).unwrap();
        assert_eq!((a.output, a.before, a.after, a.at(0, 0)), (2, -1, -1, Some(1)));
        assert_eq!(axis(Padding::Given, false, 5, 3, 2, 1, (1, 1)), (3, 1, 1));
        assert_eq!(axis(Padding::Given, true, 4, 3, 2, 1, (0, 0)), (2, 0, 0));
        assert_eq!(axis(Padding::Given, true, 2, 1, 2, 1, (0, 1)), (1, 0, 1));
        assert_eq!(axis(Padding::SameUpper, false, 5, 2, 2, 1, (0, 0)), (3, 0, 1));
        assert_eq!(axis(Padding::SameLower, false, 5, 2, 2, 1, (0, 0)), (3, 1, 0));
        assert_eq!(axis(Padding::Valid, false, 7, 3, 1, 2, (9, 9)), (3, 0, 0));
        assert!(window(Padding::Given, false).axis(2, 4, 1, 1, (0, 1)).is_err());
    }

    #[test]
    fn inside_agrees_with_at() {
        for (input, kernel, stride, dilation, before) in
            [(5, 3, 1, 1, 1), (7, 3, 2, 2, 3), (4, 4, 3, 1, 2), (1, 3, 1, 1, 1)]
        {
            let axis = window(Padding::Given, false).axis(input, kernel, stride, dilation, (before, before)).unwrap();
            for k in 0..kernel {
                let (from, to) = axis.inside(k);
                for o in 0..axis.output {
                    assert_eq!(axis.at(o, k).is_some(), (from..to).contains(&o), "{axis:?} {o} {k}");
                    let (first, last) = axis.taps(o);
                    assert_eq!(axis.at(o, k).is_some(), (first..last).contains(&k), "{axis:?} {o} {k}");
                }
            }
        }
    }
}
