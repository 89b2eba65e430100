//! Whether rows became visible in the order of their offsets (promise P3), from the transactions that stored them.

use crate::adapters::postgres::audit::entries::Span;

/// What the transactions of one lane say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Order {
    /// First offsets of transactions whose rows became visible after some of higher offsets.
    pub late: Vec<i64>,
    /// Rows of which the server does not know when they became visible.
    pub untimed: u64,
}

/// Judges the spans of one lane. A transaction is late when rows above its first offset were committed before it. Without
/// commit times only this is certain: two transactions whose offsets interleave cannot both have been in order.
pub fn judge(spans: &mut [Span]) -> Order {
    let mut order =
        Order { untimed: spans.iter().filter(|s| s.committed.is_none()).map(|s| s.rows).sum(), ..Order::default() };
    let mut late = vec![];
    spans.sort_unstable_by_key(|s| (s.first, s.last));
    let mut most: Option<i64> = None;
    for span in spans.iter() {
        if most.is_some_and(|m| span.first < m) {
            late.push(span.first);
        }
        most = most.max(Some(span.last));
    }
    let mut timed: Vec<(i64, &Span)> = spans.iter().filter_map(|s| Some((s.committed?, s))).collect();
    timed.sort_unstable_by_key(|(at, s)| (*at, s.first));
    // Highest offset of all that was committed strictly earlier.
    let (mut before, mut same) = (None, None);
    let mut time = None;
    for (at, span) in timed {
        if time != Some(at) {
            (before, time) = (before.max(same), Some(at));
        }
        if before.is_some_and(|b| span.first < b) {
            late.push(span.first);
        }
        same = same.max(Some(span.last));
    }
    late.sort_unstable();
    late.dedup();
    order.late = late;
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: i64, last: i64, committed: Option<i64>) -> Span {
        Span { lane: 0, first, last, rows: 1, committed }
    }

    fn late(spans: &[(i64, i64, Option<i64>)]) -> Vec<i64> {
        let mut spans: Vec<Span> = spans.iter().map(|(f, l, at)| span(*f, *l, *at)).collect();
        judge(&mut spans).late
    }

    #[test]
    fn p3_rows_in_order_are_in_order() {
        assert!(late(&[(0, 9, Some(1)), (10, 19, Some(2)), (20, 29, Some(2)), (30, 30, Some(5))]).is_empty());
        assert!(late(&[(20, 29, None), (0, 9, None), (10, 19, None)]).is_empty());
    }

    #[test]
    fn p3_rows_that_came_after_higher_ones_are_late() {
        assert_eq!(late(&[(0, 9, Some(3)), (10, 19, Some(2)), (20, 29, Some(4))]), [0]);
        assert_eq!(late(&[(0, 0, Some(9)), (1, 5, Some(1)), (6, 7, Some(2))]), [0]);
        // Rows 5 and 12 of one transaction, 8 of another: whichever was first, it was too early.
        assert_eq!(late(&[(5, 12, None), (8, 8, None)]), [8]);
        assert_eq!(late(&[(0, 10, Some(1)), (5, 6, Some(2))]), [5]);
    }

    #[test]
    fn rows_without_a_time_are_counted() {
        let mut spans = [span(0, 9, None), span(10, 10, Some(1))];
        assert_eq!(judge(&mut spans), Order { late: vec![], untimed: 1 });
    }
}
