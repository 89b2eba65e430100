//! Numbers from and to text, as onnxruntime prints (C's `%.8g`) and reads them (C++'s `stod`, `stoll`, `stoull`).

use half::f16;

use crate::bad;
use crate::error::OpError;
use crate::tensor::ElementType;
use crate::tensor::Elements;

/// Significant digits that are printed, of double as of float.
const DIGITS: i32 = 8;

/// Every element as text.
pub fn write_all<T>(from: &[T], write: impl Fn(&T) -> String) -> Elements {
    Elements::Text(from.iter().map(write).collect())
}

/// A float as onnxruntime prints it.
pub fn float(x: f64) -> String {
    if x.is_nan() {
        return "NaN".into();
    }
    if x.is_infinite() {
        return if x < 0.0 { "-INF".into() } else { "INF".into() };
    }
    let scientific = format!("{x:.*e}", (DIGITS - 1) as usize);
    let (mantissa, exponent) = scientific.split_once('e').expect("scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a whole number");
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    if (-4..DIGITS).contains(&exponent) {
        return trim(&format!("{x:.*}", (DIGITS - 1 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
}

/// Every text as a number of the type.
///
/// # Errors
/// If one of them does not begin with a number, or it is out of bounds.
pub fn parse_all(from: &[String], to: ElementType) -> Result<Elements, OpError> {
    fn each<R>(from: &[String], f: impl Fn(&str) -> Option<R>) -> Result<Vec<R>, OpError> {
        let no_number = || OpError::bad("a text is no number, or out of bounds");
        from.iter().map(|text| f(text).ok_or_else(no_number)).collect()
    }
    Ok(match to {
        ElementType::Bool => Elements::Bool(each(from, |t| Some(unsigned(t)? != 0))?),
        ElementType::I8 => Elements::I8(each(from, |t| Some(signed(t)? as i8))?),
        ElementType::I16 => Elements::I16(each(from, |t| Some(signed(t)? as i16))?),
        ElementType::I32 => Elements::I32(each(from, |t| Some(signed(t)? as i32))?),
        ElementType::I64 => Elements::I64(each(from, signed)?),
        ElementType::U8 => Elements::U8(each(from, |t| Some(unsigned(t)? as u8))?),
        ElementType::U16 => Elements::U16(each(from, |t| Some(unsigned(t)? as u16))?),
        ElementType::U32 => Elements::U32(each(from, |t| Some(unsigned(t)? as u32))?),
        ElementType::U64 => Elements::U64(each(from, unsigned)?),
        ElementType::F16 => Elements::F16(each(from, |t| Some(f16::from_f32(parse_float(t)? as f32)))?),
        ElementType::F32 => Elements::F32(each(from, |t| Some(parse_float(t)? as f32))?),
        ElementType::F64 => Elements::F64(each(from, parse_float)?),
        ElementType::Text => bad!("texts are texts already"),
    })
}

/// White space is skipped as C's `isspace` does; then the sign.
fn sign(text: &str) -> (bool, &str) {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// Length of the decimal digits at the start.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// `stoll`: the whole number at the start of a text, whatever follows.
pub fn signed(text: &str) -> Option<i64> {
    let (negative, rest) = sign(text);
    let all = &rest[..digits(rest.as_bytes())];
    if negative { format!("-{all}").parse().ok() } else { all.parse().ok() }
}

/// `stoull`: as [`signed`]; a number below 0 counts from the top.
pub fn unsigned(text: &str) -> Option<u64> {
    let (negative, rest) = sign(text);
    let value: u64 = rest[..digits(rest.as_bytes())].parse().ok()?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// `stod`: the number at the start of a text, whatever follows; `None` also if it is too large or small for a double.
pub fn parse_float(text: &str) -> Option<f64> {
    let (negative, rest) = sign(text);
    let starts = |word: &str| rest.get(..word.len()).is_some_and(|r| r.eq_ignore_ascii_case(word));
    let value = if starts("inf") {
        f64::INFINITY
    } else if starts("nan") {
        f64::NAN
    } else if let Some(value) = starts("0x").then(|| hexadecimal(&rest.as_bytes()[2..])).flatten() {
        value
    } else {
        decimal(rest)?
    };
    Some(if negative { -value } else { value })
}

fn decimal(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let whole = digits(bytes);
    let mut end = whole;
    if bytes.get(end) == Some(&b'.') {
        let part = digits(&bytes[end + 1..]);
        if whole + part == 0 {
            return None;
        }
        end += 1 + part;
    } else if whole == 0 {
        return None;
    }
    let zero = !bytes[..end].iter().any(|b| (b'1'..=b'9').contains(b));
    end += exponent(&bytes[end..], b'e');
    let value: f64 = text[..end].parse().ok()?;
    // out of bounds as `strtod` says it: infinite, or so small that digits were lost
    let lost = value.is_infinite() || (!zero && !value.is_normal());
    (!lost).then_some(value)
}

/// Length of an exponent at the start; 0 if there are no digits behind its letter.
fn exponent(text: &[u8], letter: u8) -> usize {
    if text.first().map(u8::to_ascii_lowercase) != Some(letter) {
        return 0;
    }
    let sign = usize::from(matches!(text.get(1), Some(b'+' | b'-')));
    match digits(&text[1 + sign..]) {
        0 => 0,
        n => 1 + sign + n,
    }
}

/// What follows `0x`; `None` if it is no digit, then the 0 before is the number.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let (mut value, mut scale, mut seen, mut point, mut at) = (0f64, 0i64, false, false, 0);
    while let Some(byte) = text.get(at) {
        match (*byte as char).to_digit(16) {
            Some(digit) if value < 2f64.powi(48) => {
                value = value * 16.0 + f64::from(digit);
                scale -= if point { 4 } else { 0 };
                seen = true;
            }
            // beyond the digits of a double
            Some(_) => scale += if point { 0 } else { 4 },
            None if *byte == b'.' && !point => point = true,
            None => break,
        }
        at += 1;
    }
    if !seen {
        return None;
    }
    let power = &text[at..][..exponent(&text[at..], b'p')];
    let power = std::str::from_utf8(power.get(1..).unwrap_or_default()).ok()?;
    let power: i64 = if power.is_empty() { 0 } else { power.parse().unwrap_or(0) };
    let scale = scale.saturating_add(power).clamp(-2000, 2000) as i32;
    // in two halves, since 2^scale alone may be out of bounds
    Some(value * 2f64.powi(scale / 2) * 2f64.powi(scale - scale / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by onnxruntime 1.32.
    #[test]
    fn floats_are_printed_with_eight_digits() {
        let single = |x: f32| float(f64::from(x));
        for (x, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.33333334"),
            (123456792.0, "1.2345679e+08"),
            (1e7, "10000000"),
            (1e8, "1e+08"),
            (12345679.0, "12345679"),
            (1e15, "9.9999999e+14"),
            (1e-4, "9.9999997e-05"),
            (1e-7, "1e-07"),
            (3.4e38, "3.4e+38"),
            (1e-45, "1.4012985e-45"),
            (f32::NAN, "NaN"),
            (f32::NEG_INFINITY, "-INF"),
        ] {
            assert_eq!(single(x), text);
        }
        assert_eq!(float(1.0 / 3.0), "0.33333333");
        assert_eq!(float(0.0001), "0.0001");
        assert_eq!(float(99999999.5), "1e+08");
        assert_eq!(float(1e100), "1e+100");
    }

    /// Read by onnxruntime 1.32.
    #[test]
    fn floats_are_read_to_the_first_foreign_letter() {
        for (text, x) in [
            (" 1", 1.0),
            ("\u{b}+1 ", 1.0),
            ("1.5abc", 1.5),
            ("1e", 1.0),
            ("1e5", 1e5),
            (".5", 0.5),
            ("5.", 5.0),
            ("0x10", 16.0),
            ("0x1p3", 8.0),
            ("0x.8", 0.5),
            ("0x", 0.0),
            ("1_000", 1.0),
            ("-infin", f64::NEG_INFINITY),
            ("1\0", 1.0),
            ("0e999", 0.0),
        ] {
            assert_eq!(parse_float(text), Some(x), "{text}");
        }
        assert!(parse_float("-nan(12)").unwrap().is_nan());
        for text in ["", "abc", ".", "-", "e5", "-1e400", "1e-400", "true", "\u{a0}1", "５", "\u{e9}"] {
            assert_eq!(parse_float(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_read_and_cut() {
        assert_eq!((signed("1.9"), signed("-0x10"), signed(".5"), signed("")), (Some(1), Some(0), None, None));
        assert_eq!((signed("9223372036854775808"), signed("-9223372036854775808")), (None, Some(i64::MIN)));
        assert_eq!((unsigned("-1"), unsigned("18446744073709551616")), (Some(u64::MAX), None));
        let all = parse_all(&["128".into(), "-129".into()], ElementType::I8).unwrap();
        assert_eq!(all, Elements::I8(vec![-128, 127]));
    }
}
