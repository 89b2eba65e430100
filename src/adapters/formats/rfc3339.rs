//! Times of RFC 3339.

/// Microseconds since 1970 of `2026-11-01T12:30:00.5+01:00`.
///
/// `T` and `Z` may be small; digits after the sixth are cut; second 60 counts as the next minute's first; an offset
/// is required. `None` for anything else.
pub fn micros(s: &[u8]) -> Option<i64> {
    if s.len() < 20 {
        return None;
    }
    let at = |i: usize, c: u8| s[i] == c;
    if !(at(4, b'-') && at(7, b'-') && s[10] | 0x20 == b't' && at(13, b':') && at(16, b':')) {
        return None;
    }
    let days = days(digits(s, 0, 4)?, digits(s, 5, 7)?, digits(s, 8, 10)?)?;
    let (hour, minute, second) = (digits(s, 11, 13)?, digits(s, 14, 16)?, digits(s, 17, 19)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (end, fraction) = fraction(s)?;
    let offset = offset(&s[end..])?;
    Some((((days * 24 + hour) * 60 + minute - offset) * 60 + second) * 1_000_000 + fraction)
}

fn digits(s: &[u8], from: usize, to: usize) -> Option<i64> {
    let digit = |c: u8| c.is_ascii_digit().then(|| i64::from(c - b'0'));
    s.get(from..to)?.iter().try_fold(0, |n, &c| Some(n * 10 + digit(c)?))
}

/// Where the fraction of a second ends, and its microseconds.
fn fraction(s: &[u8]) -> Option<(usize, i64)> {
    if s[19] != b'.' {
        return Some((19, 0));
    }
    let len = s[20..].iter().take_while(|c| c.is_ascii_digit()).count();
    let kept = len.min(6);
    let value = digits(s, 20, 20 + kept)? * 10i64.pow(6 - kept as u32);
    (len > 0).then_some((20 + len, value))
}

/// Minutes east of Greenwich.
fn offset(s: &[u8]) -> Option<i64> {
    match *s {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (digits(s, 1, 3)?, digits(s, 4, 6)?);
            let east = (hours <= 23 && minutes <= 59).then_some(hours * 60 + minutes)?;
            Some(if sign == b'-' { -east } else { east })
        }
        _ => None,
    }
}

/// Days since 1970 of a date of the Gregorian calendar, years 0 to 9999.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if leap { 29 } else { 28 };
    let last = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1..=12).contains(&month) || !(1..=last[month as usize - 1]).contains(&day) {
        return None;
    }
    // years that begin in March, so that the leap day is the last one
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t00:00:00.000001z", 1),
            ("1969-12-31T23:59:59.5-00:00", -500_000),
            ("2026-11-01T00:00:00.123456789+01:00", 1_793_487_600_123_456),
            ("2024-02-29T23:59:60Z", 1_709_251_200_000_000),
            ("2000-02-29T12:00:00-11:30", 951_867_000_000_000),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ] {
            assert_eq!(micros(text.as_bytes()), Some(want), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "2026-11-01",
            "2026-11-01T00:00:00",
            "2026-11-01 00:00:00Z",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-32T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00ZZ",
            "2026-01-01T00:00:0\u{e9}",
        ] {
            assert_eq!(micros(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = days(0, 1, 1).unwrap() - 1;
        for year in 0..=9999 {
            for month in 1..=12 {
                for day in (1..=31).filter_map(|d| days(year, month, d)) {
                    assert_eq!(day, last + 1);
                    last = day;
                }
            }
        }
    }
}
