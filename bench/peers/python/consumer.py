"""A consumer with the settings that were fastest here, for the peers on confluent-kafka."""

from confluent_kafka import Consumer


def subscribed(bootstrap, topic, group):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "queued.max.messages.kbytes": 65536,
            "fetch.queue.backoff.ms": 10,
            "fetch.message.max.bytes": 4194304,
            "partition.assignment.strategy": "cooperative-sticky",
        }
    )
    consumer.subscribe([topic])
    return consumer
