"""CPU time and memory of processes, as the kernel counts them, sampled with the time."""

import bisect
import glob
import os
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")


def stat(pid):
    """Fields of /proc/PID/stat from the state on, or nothing when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()
    except OSError:
        return None


def own_seconds(pid):
    """User and system time of all threads, those that ended included."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICK if fields else None


def children(pid):
    """Children of a process of one thread, as the postmaster is."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(c) for c in f.read().split()]
    except OSError:
        return []


def tree_seconds(pid, leave_out=()):
    """A process, its running children, and those that ended and were waited for."""
    fields = stat(pid)
    if not fields:
        return None
    total = sum(int(x) for x in fields[11:15]) / TICK
    return total + sum(own_seconds(c) or 0 for c in children(pid) if c not in leave_out)


def threads(pid):
    """Seconds of the threads that run now, by name, numbers of a pool left out."""
    found = {}
    for task in glob.glob(f"/proc/{pid}/task/*"):
        try:
            with open(f"{task}/comm") as f:
                name = f.read().strip()
            with open(f"{task}/schedstat") as f:
                nanos = int(f.read().split()[0])
        except OSError:
            continue
        name = name.rstrip("0123456789")
        found[name] = round(found.get(name, 0.0) + nanos / 1e9, 4)
    return found


def machine_seconds():
    """Busy time of all processors, what the host took away included."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def peak_memory(pid):
    """The largest resident size that there was, in bytes."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM:"))


class Sampler(threading.Thread):
    """Samples the CPU time of what `meters` names, ten times a second; `at` says what it was at a time in between."""

    def __init__(self, meters, interval=0.1):
        super().__init__(daemon=True)
        self.meters, self.interval, self.ended = meters, interval, threading.Event()
        self.times, self.values = [], []
        self.take()

    def take(self):
        now = time.time()
        values = {name: meter() for name, meter in self.meters.items()}
        if self.values:  # a process that is gone keeps its last value
            values = {n: self.values[-1][n] if v is None else v for n, v in values.items()}
        self.times.append(now)
        self.values.append(values)

    def run(self):
        while not self.ended.wait(self.interval):
            self.take()

    def end(self):
        if self.ended.is_set():
            return
        self.ended.set()
        self.join()
        self.take()

    def at(self, t, name):
        i = min(max(bisect.bisect_left(self.times, t), 1), len(self.times) - 1)
        (t0, t1), (v0, v1) = self.times[i - 1 : i + 1], (self.values[i - 1][name], self.values[i][name])
        part = min(max((t - t0) / (t1 - t0), 0.0), 1.0) if t1 > t0 else 1.0
        return (v0 or 0) + ((v1 or 0) - (v0 or 0)) * part

    def between(self, a, b):
        return {name: self.at(b, name) - self.at(a, name) for name in self.meters}
