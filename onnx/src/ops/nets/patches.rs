//! What the windows of a convolution see, as rows of a matrix: a row a channel and tap, a column a window.
//!
//! Chellapilla, Puri and Simard, "High Performance Convolutional Neural Networks for Document Processing" (2006).

use crate::ops::nets::window::Axis;

/// How an image of `channels` channels is read.
pub struct Patches<'a, T> {
    pub axes: &'a [Axis; 3],
    pub channels: usize,
    /// What lies around the image.
    pub padding: T,
}

impl<T: Copy> Patches<'_, T> {
    /// Fills `to`, a row for every channel and tap in the weights' order, with what the windows `[from, end)` see there.
    pub fn fill(&self, image: &[T], from: usize, end: usize, to: &mut [T]) {
        let [deep, high, wide] = self.axes;
        let size: usize = self.axes.iter().map(|a| a.input).product();
        let mut rows = to.chunks_exact_mut(end - from);
        for channel in image.chunks_exact(size).take(self.channels) {
            for kd in 0..deep.kernel {
                for kh in 0..high.kernel {
                    for kw in 0..wide.kernel {
                        let Some(row) = rows.next() else { return };
                        self.line(channel, [kd, kh, kw], from, row);
                    }
                }
            }
        }
    }

    /// One tap of one channel.
    fn line(&self, channel: &[T], taps: [usize; 3], from: usize, line: &mut [T]) {
        let [deep, high, wide] = self.axes;
        let to = from + line.len();
        let inside = wide.inside(taps[2]);
        let mut at = from;
        while at < to {
            let (y, x) = (at / wide.output, at % wide.output);
            let end = (at - x + wide.output).min(to);
            let piece = &mut line[at - from..end - from];
            match (deep.at(y / high.output, taps[0]), high.at(y % high.output, taps[1])) {
                (Some(z), Some(y)) => {
                    let source = &channel[(z * high.input + y) * wide.input..][..wide.input];
                    self.piece(wide, taps[2], inside, source, x, piece);
                }
                _ => piece.fill(self.padding),
            }
            at = end;
        }
    }

    /// The windows from `x` on of one row.
    fn piece(&self, wide: &Axis, tap: usize, inside: (usize, usize), source: &[T], x: usize, piece: &mut [T]) {
        let end = x + piece.len();
        let (from, to) = (inside.0.clamp(x, end), inside.1.clamp(x, end));
        if from >= to {
            piece.fill(self.padding);
            return;
        }
        piece[..from - x].fill(self.padding);
        piece[to - x..].fill(self.padding);
        let first = wide.first(from, tap);
        let middle = &mut piece[from - x..to - x];
        if wide.stride == 1 {
            middle.copy_from_slice(&source[first..][..to - from]);
        } else {
            for (v, s) in middle.iter_mut().zip(source[first..].iter().step_by(wide.stride)) {
                *v = *s;
            }
        }
    }
}
