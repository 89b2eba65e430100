//! The order in which onnxruntime leaves the elements of `sorted = 0`: that of its heap for few of many, of `nth_element`
//! of GNU's C++ library for the others (both read in their sources).

/// Brings the first `count` of the order to the front; `before` is the order, `count` is within the line.
pub fn first<T: Copy>(line: &mut [T], count: usize, before: impl Fn(&T, &T) -> bool) {
    let few = count < 4 || (count as f64).log2() / (line.len() as f64).log2() < 0.725;
    if few { heap(line, count, before) } else { select(line, count - 1, before) }
}

/// A heap of `count` elements whose root is the last of the order.
fn heap<T: Copy>(line: &mut [T], count: usize, before: impl Fn(&T, &T) -> bool) {
    line[..count].reverse();
    for from in (0..count).rev() {
        sift(&mut line[..count], from, &before);
    }
    for i in count..line.len() {
        if before(&line[i], &line[0]) {
            line[0] = line[i];
            sift(&mut line[..count], 0, &before);
        }
    }
}

fn sift<T>(heap: &mut [T], mut at: usize, before: impl Fn(&T, &T) -> bool) {
    loop {
        let (left, right) = (2 * at + 1, 2 * at + 2);
        if left >= heap.len() {
            return;
        }
        let later = if right < heap.len() && !before(&heap[right], &heap[left]) { right } else { left };
        if !before(&heap[at], &heap[later]) {
            return;
        }
        heap.swap(at, later);
        at = later;
    }
}

/// `std::nth_element`: quick selection by the median of three, then insertion.
fn select<T: Copy>(line: &mut [T], nth: usize, before: impl Fn(&T, &T) -> bool) {
    let (mut from, mut to) = (0, line.len());
    let mut turns = 2 * line.len().max(1).ilog2();
    while to - from > 3 {
        if turns == 0 {
            // the library takes a heap here, of lines made for it only; what is selected is the same
            line[from..to]
                .sort_by(|a, b| if before(a, b) { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater });
            return;
        }
        turns -= 1;
        let cut = partition(line, from, to, &before);
        if cut <= nth { from = cut } else { to = cut }
    }
    for i in from + 1..to {
        let place = (from..i).rev().take_while(|j| before(&line[i], &line[*j])).last().unwrap_or(i);
        line[place..=i].rotate_right(1);
    }
}

fn partition<T: Copy>(line: &mut [T], from: usize, to: usize, before: impl Fn(&T, &T) -> bool) -> usize {
    let (a, b, c) = (from + 1, from + (to - from) / 2, to - 1);
    let less = |x: usize, y: usize| before(&line[x], &line[y]);
    let median = if less(a, b) {
        if less(b, c) {
            b
        } else if less(a, c) {
            c
        } else {
            a
        }
    } else if less(a, c) {
        a
    } else if less(b, c) {
        c
    } else {
        b
    };
    line.swap(from, median);
    let pivot = line[from];
    let (mut low, mut high) = (from + 1, to);
    loop {
        while before(&line[low], &pivot) {
            low += 1;
        }
        high -= 1;
        while before(&pivot, &line[high]) {
            high -= 1;
        }
        if low >= high {
            return low;
        }
        line.swap(low, high);
        low += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(values: &[i32], count: usize) -> Vec<usize> {
        let mut line: Vec<(i32, usize)> = values.iter().enumerate().map(|(i, v)| (*v, i)).collect();
        first(&mut line, count, |a, b| (b.0, a.1) < (a.0, b.1));
        line[..count].iter().map(|(_, i)| *i).collect()
    }

    /// Answers of onnxruntime 1.32.
    #[test]
    fn both_ways_leave_the_elements_where_onnxruntime_does() {
        let few = [17, 9, 2, 26, 33, 27, 12, 26, 7, 19, 34, 31];
        assert_eq!(order(&few, 4), [5, 11, 4, 10]);
        let many = [35, 4, 11, 1, 21, 8, 14, 1, 17, 26, 22, 3];
        assert_eq!(order(&many, 9), [4, 0, 9, 10, 6, 8, 2, 5, 1]);
    }
}
