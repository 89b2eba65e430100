//! Lines of a file or of the standard input, of bounded length.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::ensure;

/// Longest line, in bytes: a device without line ends must not fill the memory.
const LONGEST: u64 = 64 << 20;

/// See [`open`].
pub struct Lines {
    reader: Box<dyn BufRead>,
    path: PathBuf,
}

/// Lines that are not blank, without their ends; of the standard input for `-`.
///
/// # Errors
/// If the file cannot be opened.
pub fn open(path: &Path) -> anyhow::Result<Lines> {
    let reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).with_context(|| path.display().to_string())?))
    };
    Ok(Lines { reader, path: path.into() })
}

impl Lines {
    fn line(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            let mut line = vec![];
            let read = self.reader.by_ref().take(LONGEST + 1).read_until(b'\n', &mut line);
            if read.with_context(|| self.path.display().to_string())? == 0 {
                return Ok(None);
            }
            ensure!(
                line.len() as u64 <= LONGEST,
                "{}: a line is longer than {} MiB",
                self.path.display(),
                LONGEST >> 20
            );
            let end = line.trim_ascii_end().len();
            if end > 0 {
                line.truncate(end);
                return Ok(Some(line));
            }
        }
    }
}

impl Iterator for Lines {
    type Item = anyhow::Result<Vec<u8>>;

    fn next(&mut self) -> Option<anyhow::Result<Vec<u8>>> {
        self.line().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(reader: impl Read + 'static) -> anyhow::Result<Vec<Vec<u8>>> {
        Lines { reader: Box::new(BufReader::new(reader)), path: "rows.jsonl".into() }.collect()
    }

    #[test]
    fn blank_lines_and_ends_are_left_out() {
        assert_eq!(lines(&b"\n{}\r\n  \n[1]"[..]).unwrap(), [&b"{}"[..], b"[1]"]);
    }

    #[test]
    fn what_never_ends_is_refused() {
        let error = lines(io::repeat(0)).unwrap_err().to_string();
        assert_eq!(error, "rows.jsonl: a line is longer than 64 MiB");
    }
}
