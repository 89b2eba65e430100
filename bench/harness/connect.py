"""Kafka Connect with Debezium's JDBC sink: no model, for comparison with Tidemill without one."""

import psycopg

from . import contenders, process

FOLDER = contenders.PEERS / "connect"
OPTIONS = ("-Xms1g", "-Xmx1g", "-XX:+UseG1GC")
LOG4J = contenders.ROOT / "tests/support/kafka/log4j2.properties"


class Connect(contenders.Contender):
    def prepare(self, tools, place):
        # The sink has no number for a topic.
        with psycopg.connect(place.url) as con:
            con.execute("ALTER TABLE scored ALTER topic SET DEFAULT 1")
        self.work = tools.work / f"{place.group}.connect"
        self.work.mkdir()
        words = {
            "BOOTSTRAP": place.bootstrap,
            "WORK": self.work,
            "REST": process.free_port(),
            "TOPIC": place.topic,
            "GROUP": place.group,
            "JDBC": "jdbc:" + place.url.replace("postgres://postgres@", "postgresql://") + "?reWriteBatchedInserts=true",
        }
        for name in ("worker", "sink"):
            text = (FOLDER / f"{name}.properties").read_text()
            for word, value in words.items():
                text = text.replace(f"@{word}@", str(value))
            (self.work / f"{name}.properties").write_text(text)

    def command(self, tools, place):
        classes = ["-cp", f"{tools.java}/connect/*", "org.apache.kafka.connect.cli.ConnectStandalone"]
        files = [self.work / "worker.properties", self.work / "sink.properties"]
        return ["java", *OPTIONS, f"-Dlog4j2.configurationFile={LOG4J}", *classes, *files]

    def settings(self):
        return " ".join(OPTIONS) + " two tasks, batch.size=5000, unnest"


CONTENDERS = {"f": Connect("(f) Connect + Debezium, no model", "JDBC sink with UNNEST; no model", None, 600_000)}
