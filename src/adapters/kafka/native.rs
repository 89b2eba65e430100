//! The few calls that the `rdkafka` crate does not wrap, or wraps with a panic on texts that are not UTF-8.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::raw::c_char;
use std::os::raw::c_void;
use std::ptr;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::client::NativeClient;
use rdkafka::error::KafkaError;
use rdkafka::error::RDKafkaErrorCode;

const OK: rd::rd_kafka_resp_err_t = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

/// Bytes that librdkafka owns; a null start is no value.
///
/// # Safety
/// A start that is not null has `len` bytes, which stay as they are for `'a`.
pub(super) unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    match (start.is_null(), len) {
        (true, _) => None,
        (false, 0) => Some(&[]),
        // SAFETY: the caller's promise.
        (false, _) => Some(unsafe { std::slice::from_raw_parts(start.cast(), len) }),
    }
}

/// Metadata of the first element of a list, if any is set; bytes that are not UTF-8 are replaced.
pub(super) fn first_metadata(list: &TopicPartitionList) -> Option<String> {
    // SAFETY: the list is alive, has `cnt` elements at `elems`, and owns their metadata.
    let metadata = unsafe {
        let list = &*list.ptr();
        let element = (list.cnt > 0).then(|| &*list.elems)?;
        bytes(element.metadata, element.metadata_size)?
    };
    Some(String::from_utf8_lossy(metadata).into_owned())
}

/// What must be destroyed by one of librdkafka's functions.
pub(super) struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Owned<T> {
    pub fn ptr(&self) -> *mut T {
        self.0
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: made by the matching constructor, never null (see `owned`), destroyed once.
        unsafe { (self.1)(self.0) }
    }
}

pub(super) fn owned<T>(made: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Owned<T>> {
    (!made.is_null()).then_some(Owned(made, destroy))
}

/// Commits without waiting; the answer comes to the consumer's queue, and so to the context's `commit_callback`.
///
/// The crate's own asynchronous commit is never answered: it sets no callback, only asks for events.
pub(super) fn commit(client: &NativeClient, list: &TopicPartitionList) -> Result<(), KafkaError> {
    let failed = || KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownGroup);
    // SAFETY: the client is alive; the queue is released by `Owned`.
    let queue = owned(unsafe { rd::rd_kafka_queue_get_consumer(client.ptr()) }, rd::rd_kafka_queue_destroy)
        .ok_or_else(failed)?;
    // SAFETY: client, list and queue are alive; the list is copied, the queue kept; without a callback the answer is an event.
    let code = unsafe { rd::rd_kafka_commit_queue(client.ptr(), list.ptr(), queue.0, None, ptr::null_mut()) };
    if code == OK { Ok(()) } else { Err(KafkaError::ConsumerCommit(code.into())) }
}

/// The broker's id of a topic; `None` when it does not tell (Kafka before 2.8, other brokers, no grant).
///
/// Blocks for `timeout` at most. Asks `broker`: any of them knows, while the client would wait for the controller, which
/// some clusters never name (librdkafka's own mock is one).
///
/// # Errors
/// When no answer came: that says nothing about the topic.
pub(super) fn topic_id(
    client: &NativeClient,
    topic: &str,
    broker: i32,
    timeout: Duration,
) -> Result<Option<u128>, RDKafkaErrorCode> {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, RequestTimedOut};
    let Some(event) = describe(client, topic, broker, timeout) else { return Err(OperationTimedOut) };
    // SAFETY: the event is alive.
    let code = RDKafkaErrorCode::from(unsafe { rd::rd_kafka_event_error(event.ptr()) });
    match code {
        AllBrokersDown | BrokerTransportFailure | OperationTimedOut | RequestTimedOut => Err(code),
        _ => Ok(described(&event)),
    }
}

/// The answer to DescribeTopics, if one came in time.
fn describe(client: &NativeClient, topic: &str, broker: i32, timeout: Duration) -> Option<Owned<rd::rd_kafka_event_t>> {
    let name = CString::new(topic).ok()?;
    let mut names: [*const c_char; 1] = [name.as_ptr()];
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the client outlives this call and all that is made of it here (`Owned` drops in reverse order);
    // the names are copied by the collection.
    let (queue, options, topics) = unsafe {
        (
            owned(rd::rd_kafka_queue_new(client.ptr()), rd::rd_kafka_queue_destroy)?,
            owned(rd::rd_kafka_AdminOptions_new(client.ptr(), operation), rd::rd_kafka_AdminOptions_destroy)?,
            owned(
                rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1),
                rd::rd_kafka_TopicCollection_destroy,
            )?,
        )
    };
    // SAFETY: all pointers are alive; the answer arrives on our own queue; an error text is not asked for (null, 0).
    let event = unsafe {
        rd::rd_kafka_AdminOptions_set_request_timeout(options.0, millis, ptr::null_mut(), 0);
        if broker >= 0 {
            rd::rd_kafka_AdminOptions_set_broker(options.0, broker, ptr::null_mut(), 0);
        }
        rd::rd_kafka_DescribeTopics(client.ptr(), topics.0, options.0, queue.0);
        rd::rd_kafka_queue_poll(queue.0, millis)
    };
    owned(event, rd::rd_kafka_event_destroy)
}

/// The one topic's id in an answer; `None` if it has none, or is an error.
fn described(event: &Owned<rd::rd_kafka_event_t>) -> Option<u128> {
    // SAFETY: result, description and id belong to the event, which lives to the end of this function; each is checked for null.
    unsafe {
        if rd::rd_kafka_event_error(event.ptr()) != OK {
            return None;
        }
        let result = rd::rd_kafka_event_DescribeTopics_result(event.ptr());
        let mut count = 0;
        let found = (!result.is_null()).then(|| rd::rd_kafka_DescribeTopics_result_topics(result, &mut count))?;
        let description = (!found.is_null() && count == 1).then(|| *found)?;
        if rd::rd_kafka_error_code(rd::rd_kafka_TopicDescription_error(description)) != OK {
            return None;
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(description);
        let halves = (!id.is_null())
            .then(|| (rd::rd_kafka_Uuid_most_significant_bits(id), rd::rd_kafka_Uuid_least_significant_bits(id)))?;
        let id = u128::from(halves.0 as u64) << 64 | u128::from(halves.1 as u64);
        (id != 0).then_some(id)
    }
}
