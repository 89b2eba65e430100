//! Enough of Postgres' wire protocol to see which statement a client is about to run and when its answer is complete.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol", version 3.0.

use std::collections::HashMap;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// Cuts the bytes of one direction into messages.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
}

impl Framer {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message with a type byte in front.
    pub fn tagged(&mut self) -> Option<Vec<u8>> {
        let length = self.length_at(1)?;
        self.take(1 + length)
    }

    /// The next whole message without one: a connection begins with those.
    pub fn untagged(&mut self) -> Option<Vec<u8>> {
        let length = self.length_at(0)?;
        self.take(length)
    }

    /// The next whole frame of Kafka's protocol: its length does not count itself.
    pub fn counted(&mut self) -> Option<Vec<u8>> {
        let length = self.length_at(0)?;
        self.take(4 + length)
    }

    pub fn byte(&mut self) -> Option<Vec<u8>> {
        self.take(1)
    }

    /// All that is left, whole message or not.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    fn length_at(&self, at: usize) -> Option<usize> {
        let bytes = self.buffer.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().expect("four bytes")) as usize)
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        (self.buffer.len() >= length).then(|| self.buffer.drain(..length).collect())
    }
}

/// What one connection has said so far.
#[derive(Debug, Default)]
pub struct Session {
    started: bool,
    /// Answers of one byte that the server still owes (to requests for encryption).
    bytes_owed: u32,
    /// Encrypted or a cancel request: nothing more can be read.
    pub opaque: bool,
    statements: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, String>,
    /// Rounds that the client has closed so far: each is answered by one "ready for query".
    rounds: u64,
    /// Those closed by a Sync since the last Execute: if that began a COPY from the client, the server ignored them.
    loose: u64,
    answered: u64,
}

impl Session {
    /// Takes the next message of the client from `framer`; with the text of the statement that it runs, if it runs one.
    pub fn client(&mut self, framer: &mut Framer) -> Option<(Vec<u8>, Option<String>)> {
        if self.opaque {
            let rest = framer.rest();
            return (!rest.is_empty()).then_some((rest, None));
        }
        if !self.started {
            let message = framer.untagged()?;
            self.begin(&message);
            return Some((message, None));
        }
        let message = framer.tagged()?;
        let body = &message[5..];
        let statement = match message[0] {
            b'Q' => {
                (self.rounds, self.loose) = (self.rounds + 1, 0);
                Some(text(until_nul(body).0))
            }
            b'P' => {
                let (name, rest) = until_nul(body);
                self.statements.insert(name.to_vec(), text(until_nul(rest).0));
                None
            }
            b'B' => {
                let (portal, rest) = until_nul(body);
                let statement = self.statements.get(until_nul(rest).0).cloned().unwrap_or_default();
                self.portals.insert(portal.to_vec(), statement);
                None
            }
            b'E' => {
                self.loose = 0;
                self.portals.get(until_nul(body).0).cloned()
            }
            b'S' | b'F' => {
                (self.rounds, self.loose) = (self.rounds + 1, self.loose + 1);
                None
            }
            // CopyDone, CopyFail.
            b'c' | b'f' => {
                (self.rounds, self.loose) = (self.rounds - self.loose, 0);
                None
            }
            _ => None,
        };
        Some((message, statement))
    }

    fn begin(&mut self, message: &[u8]) {
        let code = message.get(4..8).map(|b| u32::from_be_bytes(b.try_into().expect("four bytes")));
        match code {
            Some(SSL_REQUEST | GSS_REQUEST) => self.bytes_owed += 1,
            Some(CANCEL_REQUEST) => self.opaque = true,
            _ => {
                self.started = true;
                self.rounds = 1;
            }
        }
    }

    /// Takes the next message of the server from `framer`; true when it completes the answer of a round.
    pub fn server(&mut self, framer: &mut Framer) -> Option<(Vec<u8>, bool)> {
        if self.opaque {
            let rest = framer.rest();
            return (!rest.is_empty()).then_some((rest, false));
        }
        if self.bytes_owed > 0 {
            let byte = framer.byte()?;
            self.bytes_owed -= 1;
            self.opaque = byte != b"N";
            return Some((byte, false));
        }
        let message = framer.tagged()?;
        let complete = message[0] == b'Z';
        self.answered += u64::from(complete);
        Some((message, complete))
    }

    /// Number of the round that the message just taken from the client belongs to, counted from 1.
    pub fn round_of(&self, message: &[u8]) -> u64 {
        self.rounds + u64::from(message[0] != b'Q')
    }

    /// Rounds whose answer is complete.
    pub fn answered(&self) -> u64 {
        self.answered
    }
}

fn until_nul(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A simple query that makes the server raise this SQLSTATE; answered by one error and one "ready for query".
pub fn raising(sqlstate: &str) -> Vec<u8> {
    assert!(sqlstate.len() == 5 && sqlstate.bytes().all(|b| b.is_ascii_alphanumeric()), "not a SQLSTATE: {sqlstate}");
    let sql = format!("DO $$ BEGIN RAISE EXCEPTION 'raised by a test' USING ERRCODE = '{sqlstate}'; END $$\0");
    let length = u32::try_from(sql.len() + 4).expect("a short text");
    [&b"Q"[..], &length.to_be_bytes(), sql.as_bytes()].concat()
}
