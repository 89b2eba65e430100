//! What a register is compared with: for each of 64 nodes the column that it looks at, and its threshold as a rank.

/// How the ranks of a row lie in registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// 64 bytes: one register.
    Bytes64,
    /// 32 words of 16 bits: one register.
    Words32,
    /// 128 bytes: two registers.
    Bytes128,
    /// 64 words: two registers.
    Words64,
}

impl Kind {
    /// The fastest first.
    pub const ALL: [Kind; 4] = [Kind::Bytes64, Kind::Words32, Kind::Bytes128, Kind::Words64];

    /// Most columns.
    pub fn columns(self) -> usize {
        match self {
            Kind::Words32 => 32,
            Kind::Bytes64 | Kind::Words64 => 64,
            Kind::Bytes128 => 128,
        }
    }

    /// Whether ranks take two bytes.
    pub fn is_wide(self) -> bool {
        matches!(self, Kind::Words32 | Kind::Words64)
    }

    /// Lines of a row's ranks.
    pub fn row_lines(self) -> usize {
        match self {
            Kind::Bytes64 | Kind::Words32 => 1,
            Kind::Bytes128 | Kind::Words64 => 2,
        }
    }

    /// Lines of 64 nodes.
    pub fn node_lines(self) -> usize {
        if self.is_wide() { 3 } else { 2 }
    }
}

/// In the column of a node: its comparison has no sign.
const FLIP: u8 = 0x80;

/// What one register holds.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line(pub [u8; 64]);

impl Line {
    pub const ZERO: Line = Line([0; 64]);
}

/// Nodes, 64 to a register: a line of columns, then one or two of thresholds. The answer of node `i` is bit `i`: set if the
/// rank of its column is greater than its threshold. Nodes that were not put answer something.
///
/// A column of words serves nodes that send NaN to the left and to the right: its rank there is all ones, the lowest number with a
/// sign and the highest without. The comparison has signs, and the highest bit of a node's column asks to flip the sign
/// before; its threshold is flipped already.
#[derive(Debug)]
pub struct Program {
    pub kind: Kind,
    pub lines: Vec<Line>,
}

impl Program {
    pub fn new(kind: Kind, registers: usize) -> Program {
        Program { kind, lines: vec![Line::ZERO; registers * kind.node_lines()] }
    }

    /// Sets node `node` of a register to `column > rank`; in columns of bytes a NaN has a rank of its side.
    pub fn put(&mut self, register: usize, node: usize, (column, rank): (u16, u16), nan_left: bool) {
        let lines = &mut self.lines[register * self.kind.node_lines()..];
        lines[0].0[node] = column as u8;
        if self.kind.is_wide() {
            let at = 2 * (node % 32);
            let rank = if nan_left { rank } else { rank ^ 0x8000 };
            lines[0].0[node] |= if nan_left { 0 } else { FLIP };
            lines[1 + node / 32].0[at..at + 2].copy_from_slice(&rank.to_le_bytes());
        } else {
            lines[1].0[node] = rank as u8;
        }
    }

    /// Lines of some registers.
    pub fn lines(&self, from: usize, to: usize) -> &[Line] {
        &self.lines[from * self.kind.node_lines()..to * self.kind.node_lines()]
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&self.lines[..])
    }
}
