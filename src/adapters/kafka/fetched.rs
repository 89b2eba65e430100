//! Records as librdkafka hands them out, many in one call: no event, no count of owners and no reading of the clock for each.
//!
//! The call is `rd_kafka_consume_batch_queue`, which the `rdkafka` crate does not wrap. It is safe on the split queue of a
//! partition, where only records and errors of that partition arrive; on the main queue it would swallow rebalances.
//! Header names are taken as bytes: a producer in C or Go can write some that are not UTF-8, where the crate would panic, and
//! one record must not end the process (promise P6).
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ffi::CString;
use std::marker::PhantomData;
use std::ptr;
use std::ptr::NonNull;
use std::sync::Arc;

use rdkafka::bindings as rd;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;

use crate::adapters::kafka::context::Context;
use crate::adapters::kafka::native::Owned;
use crate::adapters::kafka::native::bytes;
use crate::adapters::kafka::native::owned;
use crate::domain::batch::Batch;
use crate::domain::batch::TimestampKind;

const OK: rd::rd_kafka_resp_err_t = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

/// The librdkafka (2.12.1) in whose `rdkafka_msgset_reader.c` it was read how records lie; with another one all records are
/// asked for their headers.
const READ: i32 = 0x020c_01ff;

/// Most records of one call: what a call costs is then a small part of a record.
const CALL_MAX: usize = 64;

/// A record that librdkafka owns, for as long as the borrow lasts.
#[derive(Clone, Copy)]
pub(super) struct View<'a>(&'a rd::rd_kafka_message_t);

impl<'a> View<'a> {
    pub fn of(message: &'a BorrowedMessage<'_>) -> View<'a> {
        // SAFETY: the message is alive as long as it is borrowed, and nobody else writes to it.
        View(unsafe { &*message.ptr() })
    }

    fn ptr(self) -> *mut rd::rd_kafka_message_t {
        ptr::from_ref(self.0).cast_mut()
    }

    pub fn offset(self) -> i64 {
        self.0.offset
    }

    pub fn payload(self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka keeps the payload as long as the message.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    pub fn key(self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka keeps the key as long as the message.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    /// Milliseconds since 1970 and what they are.
    pub fn timestamp(self) -> (i64, TimestampKind) {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive; the kind is written before the call returns.
        let millis = unsafe { rd::rd_kafka_message_timestamp(self.ptr(), &mut kind) };
        match kind {
            _ if millis == -1 => (-1, TimestampKind::Missing),
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => (millis, TimestampKind::Create),
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => (millis, TimestampKind::LogAppend),
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => (-1, TimestampKind::Missing),
        }
    }

    /// Whether the record itself says that it has no headers. Asked for them, librdkafka makes and frees a buffer to read this
    /// one byte, which is a twentieth of all that a record costs us.
    ///
    /// A leader epoch is told for batches of the present format only (KIP-98), in which the number of headers follows the
    /// value; librdkafka [`READ`] hands out a value that is not empty where it lies in the batch.
    fn is_bare(self) -> bool {
        // SAFETY: the message is alive; both calls only read.
        let is_read = unsafe { rd::rd_kafka_version() == READ && rd::rd_kafka_message_leader_epoch(self.ptr()) >= 0 };
        // SAFETY: the byte behind the value belongs to the same record (above), whose bytes live as long as the message.
        is_read
            && self.payload().is_some_and(|value| !value.is_empty() && unsafe { *value.as_ptr().add(value.len()) } == 0)
    }

    /// Appends the headers in log order.
    pub fn push_headers(self, batch: &mut Batch) {
        if self.is_bare() {
            return;
        }
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive; librdkafka parses its headers once and keeps them as long as the message.
        if unsafe { rd::rd_kafka_message_headers(self.ptr(), &mut headers) } != OK {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `headers` is alive (above); past the last index the call fails and sets nothing.
            if unsafe { rd::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut len) } != OK {
                return;
            }
            // SAFETY: librdkafka ends every header name with a NUL of its own, and owns name and value as long as the message.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value, len)) };
            batch.push_header(name.to_bytes(), value);
        }
    }
}

/// A record, or an error, that was taken out of a queue; given back when dropped.
#[repr(transparent)]
struct Raw(NonNull<rd::rd_kafka_message_t>);

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: a batch call gave it to us alone, and it is destroyed once; `Source` keeps the client alive until then.
        unsafe { rd::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// What a queue gave.
pub(super) struct Fetched<'a> {
    raw: Raw,
    source: PhantomData<&'a Source>,
}

/// A partition could not be read on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ReadError {
    pub code: RDKafkaErrorCode,
    /// Where the client was fetching.
    pub offset: i64,
    pub text: String,
}

impl Fetched<'_> {
    pub fn view(&self) -> Result<View<'_>, ReadError> {
        // SAFETY: it is alive until it is dropped.
        let message = unsafe { self.raw.0.as_ref() };
        if message.err == OK {
            return Ok(View(message));
        }
        let code = RDKafkaErrorCode::from(message.err);
        // SAFETY: the payload of an error is its text, kept as long as the message.
        let text = unsafe { bytes(message.payload, message.len) };
        let text = text
            .filter(|text| !text.is_empty())
            .map_or_else(|| code.to_string(), |text| String::from_utf8_lossy(text).into_owned());
        Err(ReadError { code, offset: message.offset, text })
    }
}

/// The split queue of one partition. Fields are dropped in this order: what librdkafka gave goes back before the client goes.
pub(super) struct Source {
    /// Taken out of the client's queue and not handed on, the next one last. At most [`CALL_MAX`].
    waiting: Vec<Raw>,
    queue: Owned<rd::rd_kafka_queue_t>,
    _consumer: Arc<BaseConsumer<Context>>,
}

// SAFETY: librdkafka lets any thread use a queue and destroy a message; `Source` is not shared, only moved.
unsafe impl Send for Source {}

impl Source {
    /// Of a partition that is split off already.
    pub fn new(consumer: &Arc<BaseConsumer<Context>>, topic: &str, partition: i32) -> Option<Source> {
        let name = CString::new(topic).ok()?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client is alive and is kept so; the name is copied.
        let queue = unsafe { rd::rd_kafka_queue_get_partition(client, name.as_ptr(), partition) };
        let queue = owned(queue, rd::rd_kafka_queue_destroy)?;
        Some(Source { waiting: Vec::with_capacity(CALL_MAX), queue, _consumer: Arc::clone(consumer) })
    }

    /// Nothing was taken out that was not handed on.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next record or error; `None` when the client's queue is empty. When nothing waits here, up to `most` are taken
    /// out of it (one at least), without waiting. They then count as ours and not as the client's.
    pub fn next(&mut self, most: usize) -> Option<Fetched<'_>> {
        if self.waiting.is_empty() {
            let most = most.clamp(1, CALL_MAX);
            let start: *mut *mut rd::rd_kafka_message_t = self.waiting.as_mut_ptr().cast();
            // SAFETY: the vector is empty with room for `CALL_MAX`, `Raw` is a pointer that is not null, and the call fills
            // as many places from the start as it says; a negative answer (no such queue) fills none.
            unsafe {
                let count = rd::rd_kafka_consume_batch_queue(self.queue.ptr(), 0, start, most);
                self.waiting.set_len(usize::try_from(count).unwrap_or(0));
            }
            self.waiting.reverse();
        }
        self.waiting.pop().map(|raw| Fetched { raw, source: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_one_whose_records_were_read() {
        // SAFETY: it gives a constant.
        let version = unsafe { rd::rd_kafka_version() };
        assert_eq!(
            version, READ,
            "read the new rd_kafka_msgset_reader_msg_v2 and rd_kafka_buf_read_kbytes_varint, then set READ"
        );
    }
}
