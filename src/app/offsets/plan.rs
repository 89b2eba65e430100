//! What a change of one partition means, before anything is changed.

use crate::adapters::postgres::positions::Seen;

/// What is wanted of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Where to read on.
    pub to: i64,
    /// The mark that the operator believes in.
    pub expect: Option<i64>,
    /// Going back was agreed to, in one way or the other.
    pub back: Back,
    /// Only what lies ahead may be given up; nothing else is meant.
    pub forward_only: bool,
}

/// What is to become of rows that are there, when a mark goes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Back {
    /// There must be none.
    Refuse,
    Delete,
    Keep,
}

/// A change that may be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    pub seen: Seen,
    /// Offsets whose rows must be looked for first: from `to` up to the mark.
    pub look: bool,
}

/// Decides from the mark as it was read and the log's first and next offset.
///
/// # Errors
/// Why not, and what to do instead.
pub fn plan(wish: Wish, mark: Option<i64>, (start, end): (i64, i64)) -> Result<Plan, String> {
    let to = wish.to;
    if !(start..=end).contains(&to) {
        return Err(format!("the log holds offsets {start} to {}: at {to} the partition would park", end - 1));
    }
    if let Some(expect) = wish.expect
        && mark != Some(expect)
    {
        let now = mark.map_or_else(|| "there is none".to_owned(), |mark| format!("it is {mark}"));
        return Err(format!("the mark is not {expect}, {now}: look again before you decide"));
    }
    let Some(now) = mark else {
        return Ok(Plan { seen: Seen::Exactly(None), look: false });
    };
    if wish.forward_only && to <= now {
        return Err(format!("the mark is {now} already: there is nothing to give up below {to}"));
    }
    if to < now {
        return Ok(Plan { seen: Seen::Exactly(Some(now)), look: wish.back == Back::Refuse });
    }
    // A pipeline that runs may have stored some of what is given up by the time that the row is ours: so much the better.
    let seen = if wish.expect.is_some() { Seen::Exactly(mark) } else { Seen::AtMost(to) };
    Ok(Plan { seen, look: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: (i64, i64) = (50, 200);

    fn wish(to: i64) -> Wish {
        Wish { to, expect: None, back: Back::Refuse, forward_only: false }
    }

    #[test]
    fn going_on_takes_any_mark_on_the_way_and_going_back_only_the_one_that_was_seen() {
        let free = |seen| Ok(Plan { seen, look: false });
        assert_eq!(plan(wish(120), Some(100), LOG), free(Seen::AtMost(120)));
        assert_eq!(plan(wish(100), Some(100), LOG), free(Seen::AtMost(100)));
        assert_eq!(plan(wish(60), None, LOG), free(Seen::Exactly(None)));
        assert_eq!(plan(Wish { expect: Some(100), ..wish(120) }, Some(100), LOG), free(Seen::Exactly(Some(100))));
        assert_eq!(plan(wish(99), Some(100), LOG), Ok(Plan { seen: Seen::Exactly(Some(100)), look: true }));
        for back in [Back::Delete, Back::Keep] {
            assert_eq!(plan(Wish { back, ..wish(99) }, Some(100), LOG), free(Seen::Exactly(Some(100))));
        }
    }

    #[test]
    fn what_would_park_or_was_decided_on_another_mark_is_refused() {
        for to in [49, 201] {
            assert!(plan(wish(to), Some(100), LOG).unwrap_err().contains("50 to 199"));
        }
        assert!(plan(wish(50), Some(10), LOG).is_ok() && plan(wish(200), Some(10), LOG).is_ok());
        let expecting = Wish { expect: Some(100), ..wish(120) };
        assert!(plan(expecting, Some(101), LOG).unwrap_err().contains("it is 101"));
        assert!(plan(expecting, None, LOG).unwrap_err().contains("there is none"));
        let skip = Wish { forward_only: true, ..wish(100) };
        assert!(plan(skip, Some(100), LOG).is_err() && plan(skip, Some(99), LOG).is_ok());
    }
}
