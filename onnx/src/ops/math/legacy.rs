//! Broadcasting as it was before operator set 7: one way only, from an axis that an attribute names.

use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::tensor::Shape;

/// First axis of the left operand that the right one covers; `None` for today's broadcasting, of which matching the
/// last axes (the old default) is a part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Legacy(Option<usize>);

impl Legacy {
    /// # Errors
    /// If an attribute is mistyped, or the axis is negative.
    pub fn read(build: &Build<'_>) -> Result<Legacy, OpError> {
        if build.version() >= 7 || !build.node.attributes.flag("broadcast", false)? {
            return Ok(Legacy(None));
        }
        let Some(axis) = build.node.attributes.int("axis")? else { return Ok(Legacy(None)) };
        let axis = usize::try_from(axis).map_err(|_| OpError::bad(format!("axis {axis} is negative")))?;
        Ok(Legacy(Some(axis)))
    }

    /// Gives the right operand the trailing axes of length 1 that today's broadcasting needs.
    ///
    /// # Errors
    /// If the operands do not fit.
    pub fn align(self, inputs: &mut Inputs<'_>) -> Result<(), OpError> {
        let Legacy(Some(axis)) = self else { return Ok(()) };
        let rank = inputs.tensor(0)?.rank();
        let right = inputs.take(1)?;
        let Some(missing) = rank.checked_sub(axis).and_then(|n| n.checked_sub(right.rank())) else {
            return Err(OpError::bad(format!("axis {axis} leaves no room for {} axes in {rank}", right.rank())));
        };
        let mut shape = Shape::from_slice(right.shape());
        shape.extend(std::iter::repeat_n(1, missing));
        inputs.0[1] = right.reshaped(&shape)?.into();
        Ok(())
    }
}
