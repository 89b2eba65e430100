"""One real Apache Kafka broker in KRaft mode, from the jars that scripts/kafka-jars.sh fetched."""

import base64
import os
import pathlib
import subprocess
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from . import process

LOG4J = pathlib.Path(__file__).parent.parent.parent / "tests/support/kafka/log4j2.properties"
JAVA = ["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
# What differs from the broker's defaults, besides the replication factors of one node.
SETTINGS = {"group.initial.rebalance.delay.ms": "0", "auto.create.topics.enable": "false", "log.retention.ms": "-1"}


class Kafka:
    def __init__(self, folder, jars):
        self.log, self.settings = folder / "kafka.log", folder / "kafka.properties"
        self.port, controller = process.free_port(), process.free_port()
        self.settings.write_text(self.properties(folder / "kafka", controller))
        self.java = ["java", f"-Dlog4j2.configurationFile={LOG4J}", "-cp", f"{jars}/*"]
        cluster = base64.urlsafe_b64encode(b"b" + os.urandom(15)).decode().rstrip("=")
        format_it = ["kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", self.settings]
        done = subprocess.run(self.java + ["-XX:TieredStopAtLevel=1", *format_it], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: kafka's storage cannot be formatted:\n{done.stdout}{done.stderr}")
        self.child = process.start(self.java[:1] + JAVA + self.java[1:] + ["kafka.Kafka", self.settings], self.log)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        process.until("kafka", self.child, self.log, 120, self.answers)

    def properties(self, data, controller):
        lines = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "log.dirs": data,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
        }
        return "".join(f"{k}={v}\n" for k, v in (lines | SETTINGS).items())

    def answers(self):
        try:
            return len(self.admin.list_topics(timeout=1).brokers) == 1
        except KafkaException:
            return False

    def create(self, topic, partitions, **settings):
        config = {k.replace("_", "."): v for k, v in settings.items()}
        for done in self.admin.create_topics([NewTopic(topic, partitions, 1, config=config)]).values():
            done.result()
        while len(self.admin.list_topics(topic, timeout=5).topics[topic].partitions) < partitions:
            time.sleep(0.05)

    def delete(self, topic):
        for done in self.admin.delete_topics([topic]).values():
            done.result()

    def stop(self):
        process.stop(self.child)
