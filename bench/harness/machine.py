"""Facts about the machine and the programs, for the results."""

import datetime
import os
import platform
import re
import subprocess
import tomllib

from . import contenders


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown"
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def processor():
    text = open("/proc/cpuinfo").read()
    found = re.search(r"^model name\s*: (.*)$", text, re.M)
    family = [re.search(rf"^{k}\s*: (.*)$", text, re.M) for k in ("cpu family", "model")]
    name = found[1] if found else platform.machine()
    if all(family):
        name += f" (family {family[0][1]}, model {family[1][1]})"
    flags = set((re.search(r"^flags\s*: (.*)$", text, re.M) or ["", ""])[1].split())
    return name, "avx512f" in flags and "avx512bw" in flags


def memory_gb():
    with open("/proc/meminfo") as f:
        return round(int(f.readline().split()[1]) / 1024 / 1024, 1)


def flush(server):
    """What pg_test_fsync says of one 8 kB write with fdatasync, in microseconds, in the server's folder."""
    if not (server.bin / "pg_test_fsync").exists():
        return None
    file = server.folder / "fsync-test"
    command = [server.bin / "pg_test_fsync", "-s", "1", "-f", file]
    done = subprocess.run(command, capture_output=True, text=True, cwd=server.folder, **server.account)
    found = re.search(r"fdatasync\s+[\d.]+ ops/sec\s+(\d+) usecs/op", done.stdout)
    return int(found[1]) if found else None


def commit():
    root = contenders.ROOT
    at = first_line(["git", "-C", root, "rev-parse", "--short=12", "HEAD"])
    changed = first_line(["git", "-C", root, "status", "--porcelain", "--untracked-files=no"])
    return at + (" with changes" if changed and at != "unknown" else "")


def java_versions():
    text = (contenders.PEERS / "java/pom.xml").read_text()
    return {k: v for k, v in re.findall(r"<([a-z.]+)\.version>([^<]+)<", text)}


def python_versions():
    text = (contenders.ROOT / "bench/requirements.txt").read_text()
    return dict(line.split("==") for line in text.split())


def facts(server, tools, data):
    name, avx512 = processor()
    rust = tomllib.loads((contenders.ROOT / "Cargo.toml").read_text())["package"]
    broker = re.search(
        r"kafka_2.13</artifactId>\s*<version>([^<]+)", (contenders.ROOT / "tests/support/kafka/pom.xml").read_text()
    )
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": name,
        "avx512": avx512,
        "cores": os.cpu_count(),
        "memory_gb": memory_gb(),
        "kernel": platform.release(),
        "file_system": first_line(["findmnt", "-no", "FSTYPE", "-T", data]),
        "load_before": [round(x, 2) for x in os.getloadavg()],
        "fdatasync_us": flush(server),
        "versions": {
            "tidemill": rust["version"],
            "rustc": first_line(["rustc", "--version"]),
            "postgres": server.version(),
            "kafka": broker[1],
            "java": first_line(["java", "-version"]),
            "python": platform.python_version(),
            "java peers": java_versions(),
            "python peers": python_versions(),
        },
    }
