"""Child processes that never outlive the benchmark."""

import ctypes
import os
import signal
import socket
import subprocess
import time

LIBC = ctypes.CDLL("libc.so.6", use_errno=True)
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(command, log, ending=signal.SIGKILL, **more):
    """Starts a program with its output in the file `log`; it gets the signal `ending` when this process dies."""
    with open(log, "ab") as out:
        return subprocess.Popen(
            [str(c) for c in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            # Runs after a change of user, which would clear it.
            preexec_fn=lambda: LIBC.prctl(DEATH_SIGNAL, ending),
            **more,
        )


def stop(child, first=signal.SIGTERM, patience=15):
    """Asks with `first`, and kills what is still there after `patience` seconds."""
    if child.poll() is None:
        os.kill(child.pid, first)
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def tail(path, lines=25):
    try:
        with open(path, errors="replace") as f:
            return "".join(f.readlines()[-lines:])
    except OSError as e:
        return str(e)


def until(what, child, log, patience, ready):
    """Polls `ready` until it is true; says what the program wrote when it ended or took too long."""
    deadline = time.monotonic() + patience
    while not ready():
        if child.poll() is not None:
            raise SystemExit(f"bench: {what} ended with {child.returncode}:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {what} was not ready after {patience} s:\n{tail(log)}")
        time.sleep(0.05)
