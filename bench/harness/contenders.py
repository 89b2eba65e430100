"""Who takes part: how each is started, with which settings, and which targets Tidemill has against it."""

import dataclasses
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).parent.parent.parent
PEERS = ROOT / "bench/peers"
MODELS = {
    # file, output with the score
    "mlp": (str(ROOT / "models/fraud/mlp/model.onnx"), "score"),
    "gbt": (str(ROOT / "models/fraud/gbt/model.onnx"), "probabilities"),
}


@dataclasses.dataclass
class Tools:
    """Where things that were built lie."""

    tidemill: pathlib.Path
    python: pathlib.Path
    java: pathlib.Path
    work: pathlib.Path


@dataclasses.dataclass
class Place:
    """One run's services."""

    bootstrap: str
    topic: str
    group: str
    url: str


@dataclasses.dataclass
class Contender:
    name: str
    what: str
    model: str | None
    # Rows of a run at most, so that slow ones do not fill the evening; their rate is steady.
    rows_max: int | None = None

    def prepare(self, tools, place):
        """What has to be done before the start; not measured."""

    def command(self, tools, place):
        raise NotImplementedError

    def settings(self):
        """What differs from defaults, for the report."""
        return ""

    def environment(self):
        return {}

    def memory_plan(self, log):
        """What it said at start that it would take at most, in MB; nobody but Tidemill says so."""


class Tidemill(Contender):
    sets = ()
    extra = ""  # more of the configuration

    def configuration(self, place):
        model = f'[model]\nbundle = "{ROOT}/models/fraud/{self.model}"\n' if self.model else ""
        outputs = "is_fraud = false\n" if self.model else ""
        return f"""name = "fraud"
[kafka]
brokers = ["{place.bootstrap}"]
topics = ["{place.topic}"]
group = "{place.group}"
[event]
format = "json"
{model}{self.extra}[postgres]
url = "{place.url}"
[table]
name = "public.scored"
create = false
view = false
key_as = "text"
event_time = "ts"
[table.columns]
source = "topic"
offset = "kafka_offset"
processed_at = false
model = false
{outputs}[[table.fields]]
column = "event_id"
field = "id"
type = "text"
[[table.fields]]
column = "amount"
field = "amount"
type = "number"
[[table.fields]]
column = "merchant"
field = "merchant.id"
type = "text"
[admin]
listen = "127.0.0.1:0"
"""

    def prepare(self, tools, place):
        self.file = tools.work / f"{place.group}.toml"
        self.file.write_text(self.configuration(place))
        migrate = [tools.tidemill, "migrate", "-c", self.file]
        done = subprocess.run(migrate, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: {self.name}: migrate failed:\n{done.stdout}{done.stderr}")

    def command(self, tools, place):
        sets = [x for s in self.sets for x in ("--set", s)]
        return [tools.tidemill, "run", "-c", self.file, *sets]

    def settings(self):
        return " ".join(self.sets) or "defaults"

    def memory_plan(self, log):
        found = re.search(r"memory at most (\d+)MiB", log.read_text())
        return round(int(found[1]) * 1.048576, 1) if found else None


class Java(Contender):
    options = ()

    def command(self, tools, place):
        jars = tools.java / self.project
        folder = tools.work / f"{place.group}.tmp"
        folder.mkdir()
        java = ["java", f"-Djava.io.tmpdir={folder}", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", *self.options]
        classes = ["-cp", f"{jars}/{self.project}-1.jar:{jars}/lib/*", self.main]
        return [*java, *classes, place.bootstrap, place.url, place.topic, place.group, MODELS[self.model][0]]

    def settings(self):
        return " ".join(o for o in self.options if not o.startswith("--add"))


class Plain(Java):
    project, main = "plain", "peer.Plain"
    options = ("-Xms512m", "-Xmx512m", "-XX:+UseParallelGC", "-Dthreads=2", "-Dbatch=512", "-Dpoll=5000")


class Flink(Java):
    project, main = "flinkjob", "peer.Job"
    options = (
        *("-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-Dparallel=2", "-Dbatch=512", "-Dsinkbatch=1000"),
        *("--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED"),
    )


class Python(Contender):
    script, batch = "", None

    def command(self, tools, place):
        script = PEERS / "python" / self.script
        return [tools.python, script, place.bootstrap, place.url, place.topic, place.group, MODELS[self.model][0]]

    def environment(self):
        return {"BATCH": self.batch, "POLARS_MAX_THREADS": "1"} if self.batch else {}

    def settings(self):
        return f"batch {self.batch or 500}"


class Vector(Python):
    script, batch = "vector.py", "4096"


class Best(Python):
    script, batch = "best.py", "2048"


class Usual(Python):
    script = "usual.py"


ALL = {
    "tidemill": Tidemill("Tidemill, MLP", "release build, `models/fraud/mlp`", "mlp"),
    "tidemill-gbt": Tidemill("Tidemill, boosted trees", "release build, `models/fraud/gbt` (100 x depth 6)", "gbt"),
    "tidemill-none": Tidemill("Tidemill, no model", "release build, `[model]` absent", None),
    "a": Plain("(a) plain Java", "Jackson streaming, onnxruntime, binary COPY; two threads", "mlp"),
    "b": Flink("(b) Flink", "KafkaSource, onnxruntime in a batching operator, JDBC sink", "mlp"),
    "c": Vector("(c) vectorised Python", "confluent-kafka, polars, onnxruntime, CSV COPY", "mlp"),
    "d": Best("(d) best row-wise Python", "confluent-kafka, orjson, onnxruntime, binary COPY", "mlp", 1_000_000),
    "e": Usual("(e) usual Python", "aiokafka, json, onnxruntime, executemany", "mlp", 400_000),
}


def environment(contender):
    return os.environ | contender.environment()
