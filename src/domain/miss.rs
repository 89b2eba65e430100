//! What a mark that did not move means, once the row has been read (rule W5).

use super::lane::{Epoch, Owner};

/// A progress row as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    pub next_offset: i64,
    pub epoch: Epoch,
    /// `None` after a release.
    pub owner: Option<Owner>,
}

/// The verdict on one lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Miss {
    /// The row is ours and stands where we believe: the update lost a race or was rolled back; try again.
    AsExpected,
    /// An attempt whose answer was lost did commit: everything up to here is stored.
    StoredTo(i64),
    /// A later claim owns the lane (rule C5).
    Fenced,
    /// The database went back: claim anew and read from its mark (rule W6).
    Restart,
    /// No explanation: a person must look.
    Park,
}

/// Judges the row of a lane that we hold under `epoch`, whose durable mark we believe to be `mark`.
/// `ends` are the ends of our unsettled pieces.
pub fn judge(row: Option<Mark>, me: Owner, epoch: Epoch, mark: i64, mut ends: impl Iterator<Item = i64>) -> Miss {
    let Some(row) = row else { return Miss::Park };
    let mine = row.owner == Some(me) && row.epoch == epoch;
    if !mine {
        return if row.epoch > epoch { Miss::Fenced } else { Miss::Restart };
    }
    if row.next_offset == mark {
        Miss::AsExpected
    } else if row.next_offset < mark {
        Miss::Restart
    } else if ends.any(|end| end == row.next_offset) {
        Miss::StoredTo(row.next_offset)
    } else {
        Miss::Park
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Owner = Owner(1);

    fn at(next_offset: i64, epoch: i64, owner: Option<u128>) -> Miss {
        let row = Mark { next_offset, epoch: Epoch(epoch), owner: owner.map(Owner) };
        judge(Some(row), ME, Epoch(5), 100, [110, 120].into_iter())
    }

    #[test]
    fn w5_each_reading_of_the_row_has_one_meaning() {
        assert_eq!(judge(None, ME, Epoch(5), 100, [110].into_iter()), Miss::Park);
        assert_eq!(at(100, 6, Some(2)), Miss::Fenced);
        assert_eq!(at(120, 6, Some(1)), Miss::Fenced);
        assert_eq!(at(100, 5, Some(2)), Miss::Restart);
        assert_eq!(at(100, 4, Some(1)), Miss::Restart);
        assert_eq!(at(100, 5, None), Miss::Restart);
        assert_eq!(at(100, 5, Some(1)), Miss::AsExpected);
        assert_eq!(at(110, 5, Some(1)), Miss::StoredTo(110));
        assert_eq!(at(120, 5, Some(1)), Miss::StoredTo(120));
        assert_eq!(at(99, 5, Some(1)), Miss::Restart);
        assert_eq!(at(115, 5, Some(1)), Miss::Park);
    }
}
