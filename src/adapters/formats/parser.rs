//! What a format must be able to do.

use super::leaf::Target;
use crate::domain::verdict::Rejected;

/// Reads events of one format into slots. One for each thread.
pub trait Parser: Clone + Send + 'static {
    /// Reads one event, which begins at `base` in the batch's bytes. Fields that it does not hold stay absent.
    ///
    /// # Errors
    /// The event is no event of this format; some slots may be filled already.
    fn parse(&mut self, event: &[u8], base: u32, target: Target<'_, '_>) -> Result<(), Rejected>;
}
