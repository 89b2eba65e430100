//! MatMulNBits: products with weights of 2, 4 or 8 bits, as onnxruntime's quantiser for weights writes them, and as its
//! optimiser makes them of DequantizeLinear and MatMul ([`crate::graph::weights_alone`]).

use std::borrow::Cow;

use crate::bad;
use crate::dense;
use crate::dense::Start;
use crate::dense::Weights;
use crate::dense::activation::Activation;
use crate::error::OpError;
use crate::graph::attributes::Attributes;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::limits;
use crate::ops::dense::blocks::Blocks;
use crate::ops::dense::floats;
use crate::ops::dense::quant::Grid;
use crate::ops::dense::quant::integers;
use crate::ops::dense::rounded;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;
use crate::tensor::volume_within;
use crate::unsupported;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("MatMulNBits", build).of(MICROSOFT).note(
    "2, 4 and 8 bits, float and float16; at accuracy level 4 the left side becomes int8 by blocks; not prepacked",
)];

/// Set on nodes that the graph's rewriting makes: the weights are those of a DequantizeLinear, `[K, N]`.
pub const UNPACKED: &str = "unpacked";
/// With it: the weights are `[N, K]`.
pub const TRANSPOSED: &str = "transposed";
/// With it: the scales are of blocks.
pub const BLOCKWISE: &str = "blockwise";
/// The accuracy level at which the left side is quantised.
pub const INT8: i64 = 4;
/// Numbers of a block at most; nobody writes more than some hundreds.
const LARGEST_BLOCK: usize = 1 << 16;
/// Positions of inputs.
const WEIGHTS: usize = 1;
const SCALES: usize = 2;
const ZEROS: usize = 3;
const ORDER: usize = 4;
pub const BIAS: usize = 5;

/// How the weights lie.
#[derive(Debug)]
enum Layout {
    /// `[N, blocks, bytes]`, low bits first.
    Packed { k: usize, n: usize, bits: usize },
    /// One number a byte.
    Plain { transposed: bool, axis: i64, blockwise: bool },
}

#[derive(Debug)]
struct Product {
    layout: Layout,
    block: usize,
    in_eight_bits: bool,
    prepared: Option<Right>,
}

/// The right side, ready to multiply by.
#[derive(Debug)]
enum Right {
    Blocks(Blocks),
    Floats(Weights),
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let mut product = Product::new(attributes)?;
    let known = |i: usize| !build.has_input(i) || build.constant(i).is_some();
    if let (Some(weights), Some(scales), true) =
        (build.constant(WEIGHTS), build.constant(SCALES), known(ZEROS) && known(ORDER))
    {
        let [zeros, order] = [ZEROS, ORDER].map(|i| build.constant(i).map(|t| &**t));
        product.prepared = Some(product.right(weights, scales, zeros, order)?);
    } else if matches!(product.layout, Layout::Packed { .. }) {
        // onnxruntime prepares constants only, and dequantises others
        product.in_eight_bits = false;
    }
    Ok(Box::new(product))
}

fn size(attributes: &Attributes, name: &str) -> Result<usize, OpError> {
    let value = attributes.int(name)?.ok_or_else(|| missing(name))?;
    usize::try_from(value).map_err(|_| OpError::bad(format!("attribute `{name}` is negative")))
}

impl Product {
    fn new(attributes: &Attributes) -> Result<Product, OpError> {
        let block = size(attributes, "block_size")?;
        let eight = attributes.int_or("accuracy_level", 0)? == INT8;
        if attributes.flag(UNPACKED, false)? {
            let layout = Layout::Plain {
                transposed: attributes.flag(TRANSPOSED, false)?,
                axis: attributes.int_or("axis", 1)?,
                blockwise: attributes.flag(BLOCKWISE, false)?,
            };
            return Ok(Product { layout, block, in_eight_bits: eight, prepared: None });
        }
        if attributes.int_or("weight_prepacked", 0)? != 0 {
            unsupported!("prepacked weights");
        }
        let bits = attributes.int_or("bits", 4)?;
        let Some(bits) = usize::try_from(bits).ok().filter(|b| [2, 4, 8].contains(b)) else {
            bad!("{bits} bits, of 2, 4 and 8");
        };
        if block == 0 || block > LARGEST_BLOCK || !(block * bits).is_multiple_of(8) {
            bad!("blocks of {block} numbers of {bits} bits");
        }
        // sizes that MLAS has int8 products for; it computes with others in float
        let fast: &[usize] = if bits == 2 { &[32, 64, 128] } else { &[16, 32, 64, 128, 256] };
        let (k, n) = (size(attributes, "K")?, size(attributes, "N")?);
        if k == 0 || n == 0 {
            bad!("weights of shape {}", show(&[k, n]));
        }
        let layout = Layout::Packed { k, n, bits };
        Ok(Product { layout, block, in_eight_bits: eight && fast.contains(&block), prepared: None })
    }

    fn right(
        &self,
        weights: &Tensor,
        scales: &Tensor,
        zeros: Option<&Tensor>,
        order: Option<&Tensor>,
    ) -> Result<Right, OpError> {
        match self.layout {
            Layout::Packed { k, n, bits } => {
                let packed = Packed::new((k, n), bits, self.block, weights, scales)?;
                let whole = zeros.is_none_or(|z| matches!(z.elements(), Elements::U8(_)));
                if self.in_eight_bits && whole && order.is_none() {
                    return packed.blocks(zeros).map(Right::Blocks);
                }
                prepared(&packed.floats(zeros, order)?, (k, n)).map(Right::Floats)
            }
            Layout::Plain { transposed, axis, blockwise } => {
                let grid = Grid::new(weights.shape(), scales.shape(), axis, if blockwise { self.block } else { 0 })?;
                plain(weights, &grid, (&floats(scales)?, zeros), transposed, self.block).map(Right::Blocks)
            }
        }
    }
}

fn prepared(floats: &[f32], (k, n): (usize, usize)) -> Result<Weights, OpError> {
    if !dense::is_packable(k, n) {
        return Err(OpError::too_large(format!("weights of shape {} are too large", show(&[k, n]))));
    }
    Ok(Weights::new(floats, k, n, true))
}

/// The numbers that a DequantizeLinear reads, in blocks of `block`.
fn plain(
    weights: &Tensor,
    grid: &Grid,
    (scales, zeros): (&[f32], Option<&Tensor>),
    transposed: bool,
    block: usize,
) -> Result<Blocks, OpError> {
    let &[rows, columns] = weights.shape() else { bad!("weights of shape {}", show(weights.shape())) };
    let (k, n) = if transposed { (columns, rows) } else { (rows, columns) };
    let zeros = zeros.map_or_else(|| Ok(vec![0; scales.len()]), integers)?;
    if block == 0 || zeros.len() != scales.len() {
        bad!("{} zero points for {} scales", zeros.len(), scales.len());
    }
    let (from, blocks) = (integers(weights)?, k.div_ceil(block));
    let (mut numbers, mut by) = (vec![0i16; from.len()], vec![0.0f32; n * blocks]);
    grid.each(|range, first, step| {
        for (i, at) in range.enumerate() {
            let (depth, column) = if transposed { (at % k, at / k) } else { (at / n, at % n) };
            let scale = first + i * step;
            numbers[column * k + depth] = from[at] - zeros[scale];
            by[column * blocks + depth / block] = scales[scale];
        }
    });
    Blocks::new((k, n), block, numbers, by)
}

/// Weights as a file holds them, checked.
struct Packed<'a> {
    shape: (usize, usize),
    bits: usize,
    block: usize,
    bytes: &'a [u8],
    scales: Cow<'a, [f32]>,
}

impl<'a> Packed<'a> {
    fn new(
        (k, n): (usize, usize),
        bits: usize,
        block: usize,
        weights: &'a Tensor,
        scales: &'a Tensor,
    ) -> Result<Packed<'a>, OpError> {
        let (bytes, scales, blocks) = (weights.slice::<u8>()?, floats(scales)?, k.div_ceil(block));
        let wanted = volume_within(&[n, blocks, block * bits / 8], 1, limits::WEIGHT_BYTES)?;
        if bytes.len() != wanted || scales.len() != n * blocks {
            bad!("{} bytes and {} scales for {n} columns of {blocks} blocks of {block}", bytes.len(), scales.len());
        }
        // wider numbers are made of them
        volume_within(&[n, k], 4, limits::WEIGHT_BYTES)?;
        Ok(Packed { shape: (k, n), bits, block, bytes, scales })
    }

    fn blocks_a_column(&self) -> usize {
        self.shape.0.div_ceil(self.block)
    }

    /// The `i`-th number of a row of bytes.
    fn number(&self, bytes: &[u8], i: usize) -> i16 {
        let each = 8 / self.bits;
        let mask = u8::MAX >> (8 - self.bits);
        i16::from(bytes[i / each] >> (i % each * self.bits) & mask)
    }

    /// Numbers of all columns, `[n, k]`.
    fn numbers(&self) -> impl Iterator<Item = (usize, usize, i16)> {
        let (k, n) = self.shape;
        let row = self.blocks_a_column() * self.block * self.bits / 8;
        (0..n).flat_map(move |j| {
            let bytes = &self.bytes[j * row..(j + 1) * row];
            (0..k).map(move |i| (j, i, self.number(bytes, i)))
        })
    }

    /// Zero points of all columns and blocks, `[n, blocks]`.
    fn zeros(&self, zeros: Option<&Tensor>) -> Result<Vec<f32>, OpError> {
        let (n, blocks) = (self.shape.1, self.blocks_a_column());
        let Some(zeros) = zeros else { return Ok(vec![f32::from(1u8 << (self.bits - 1)); n * blocks]) };
        if let Elements::U8(bytes) = zeros.elements() {
            let row = (blocks * self.bits).div_ceil(8);
            if bytes.len() != n * row {
                bad!("{} bytes of zero points for {n} columns of {blocks} blocks", bytes.len());
            }
            let at = |j: usize| &bytes[j * row..(j + 1) * row];
            return Ok((0..n * blocks).map(|i| f32::from(self.number(at(i / blocks), i % blocks))).collect());
        }
        let floats = floats(zeros)?;
        if floats.len() != n * blocks {
            bad!("{} zero points for {n} columns of {blocks} blocks", floats.len());
        }
        Ok(floats.into_owned())
    }

    fn blocks(&self, zeros: Option<&Tensor>) -> Result<Blocks, OpError> {
        let (zeros, blocks) = (self.zeros(zeros)?, self.blocks_a_column());
        let less = |(j, i, x): (usize, usize, i16)| x - zeros[j * blocks + i / self.block] as i16;
        Blocks::new(self.shape, self.block, self.numbers().map(less).collect(), self.scales.to_vec())
    }

    /// Dequantised, `[n, k]`; `order` says which block each number of a column belongs to.
    fn floats(&self, zeros: Option<&Tensor>, order: Option<&Tensor>) -> Result<Vec<f32>, OpError> {
        let (zeros, blocks) = (self.zeros(zeros)?, self.blocks_a_column());
        let order = match order.map(Tensor::to_i64s).transpose()? {
            Some(order) if order.len() < self.shape.0 => bad!("{} block numbers for {}", order.len(), self.shape.0),
            order => order,
        };
        let place = |i: usize| match &order {
            None => Ok(i / self.block),
            Some(order) => usize::try_from(order[i])
                .ok()
                .filter(|b| *b < blocks)
                .ok_or_else(|| OpError::bad(format!("block {} of {blocks}", order[i]))),
        };
        let float = |(j, i, x): (usize, usize, i16)| {
            let at = j * blocks + place(i)?;
            Ok((f32::from(x) - zeros[at]) * self.scales[at])
        };
        self.numbers().map(float).collect()
    }
}

impl Kernel for Product {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let a = inputs.tensor(0)?;
        let made;
        let right = match &self.prepared {
            Some(prepared) => prepared,
            None => {
                let (zeros, order) = (inputs.optional(ZEROS)?, inputs.optional(ORDER)?);
                made = self.right(inputs.tensor(WEIGHTS)?, inputs.tensor(SCALES)?, zeros, order)?;
                &made
            }
        };
        let (k, n) = match right {
            Right::Blocks(blocks) => blocks.shape(),
            Right::Floats(weights) => weights.shape(),
        };
        let mut shape = a.shape().to_vec();
        if shape.pop() != Some(k) {
            bad!("a left side of shape {} for weights of {k} rows", show(a.shape()));
        }
        shape.push(n);
        let mut out = vec![0.0; volume(&shape, 4)?];
        let values = floats(a)?;
        match right {
            Right::Blocks(blocks) => blocks.multiply(&values, &mut out),
            Right::Floats(weights) => weights.multiply(&values, &mut out, Start::Zero, 1.0, Activation::None),
        }
        if let Some(bias) = inputs.optional(BIAS)? {
            let bias = floats(bias)?;
            if bias.len() != n {
                bad!("a bias of {} for {n} columns", bias.len());
            }
            out.iter_mut().zip(bias.iter().cycle()).for_each(|(x, b)| *x += b);
        }
        Ok(one(Tensor::from_elements(&shape, rounded(out, a))?))
    }

    fn bytes(&self) -> usize {
        match &self.prepared {
            Some(Right::Blocks(blocks)) => blocks.bytes(),
            Some(Right::Floats(weights)) => weights.bytes(),
            None => 0,
        }
    }
}
