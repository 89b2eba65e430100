//! Foreign bytes as text that can do nothing to a terminal.

/// UTF-8 as it is, but for what is not printable (control characters, marks that turn text around), which is escaped;
/// bytes that are not UTF-8 as `\xNN`. A backslash is doubled, so that the text has one reading.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\'' => text.push(c),
                c => text.extend(c.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Lowercase hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_what_can_be_read() {
        let hostile = "a\u{1b}[2J\"é\u{202e}x\\\n\u{0}".as_bytes();
        let text = escape(&[hostile, b"\xff\xc3"].concat());
        assert_eq!(text, "a\\u{1b}[2J\"é\\u{202e}x\\\\\\n\\0\\xff\\xc3");
        for byte in 0..=255_u8 {
            let shown = escape(&[byte]);
            assert!(shown.chars().all(|c| !c.is_control()), "{byte}: {shown:?}");
        }
    }
}
