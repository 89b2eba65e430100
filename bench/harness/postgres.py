"""A throwaway Postgres server with a new database for every run."""

import glob
import os
import pathlib
import pwd
import shutil
import signal
import subprocess

import psycopg

from . import process

TABLE = pathlib.Path(__file__).parent.parent / "table.sql"
# What differs from the defaults of initdb; printed with the results. Durability is as the server comes: fsync and
# synchronous_commit are on, pages have checksums.
SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "50",
    "track_commit_timestamp": "on",  # tells when each row became visible; one entry a transaction
    "shared_preload_libraries": "",
    "log_checkpoints": "off",
}


def programs():
    found = shutil.which("initdb")
    if found:
        return pathlib.Path(found).resolve().parent  # a link may stand alone
    # The newest version: folders are named by it.
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: float(p.split("/")[4]))
    if not folders:
        raise SystemExit("bench: no PostgreSQL server programs; run `make setup` (Debian: postgresql)")
    return pathlib.Path(folders[-1]).parent


def account():
    """Whom to run the server as: it refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        except KeyError:
            continue
    raise SystemExit("bench: postgres refuses root, and there is neither a user `postgres` nor `nobody`")


class Postgres:
    def __init__(self, folder, settings=()):
        self.folder, self.account, self.bin = folder / "postgres", account(), programs()
        self.settings = SETTINGS | dict(settings)
        self.folder.mkdir()
        if self.account:
            os.chown(self.folder, self.account["user"], self.account["group"])
        self.port, self.log = process.free_port(), folder / "postgres.log"
        data = self.folder / "data"
        options = ["-U", "postgres", "--auth=trust", "--data-checksums", "--encoding=UTF8", "--locale=C"]
        subprocess.run(
            [self.bin / "initdb", "-D", data, *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            **self.account,
        )
        given = [x for k, v in self.settings.items() for x in ("-c", f"{k}={v}")]
        given += ["-c", f"port={self.port}", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"]
        self.child = process.start(
            [self.bin / "postgres", "-D", data, *given], self.log, signal.SIGQUIT, cwd=self.folder, **self.account
        )
        process.until("postgres", self.child, self.log, 60, self.answers)
        self.admin = self.connect("postgres")
        self.admin.execute("CREATE DATABASE fresh TEMPLATE template0")
        with self.connect("fresh") as con:
            con.execute(TABLE.read_text())
        self.runs = 0

    def url(self, database, port=None):
        return f"postgres://postgres@127.0.0.1:{port or self.port}/{database}"

    def connect(self, database):
        # Workers would be counted as the server's.
        alone = "-c max_parallel_workers_per_gather=0"
        return psycopg.connect(self.url(database), autocommit=True, application_name="bench", options=alone)

    def answers(self):
        try:
            self.connect("postgres").close()
            return True
        except psycopg.OperationalError:
            return False

    def new_database(self, template="fresh"):
        """A database with the table `scored`, empty unless the template says otherwise, after a checkpoint.

        Everything on the machine is written back before it is given out: what one contender left (the broker's log, a
        dropped table's pages) would be the next one's waiting.
        """
        self.runs += 1
        name = f"run{self.runs}"
        self.admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        self.admin.execute("CHECKPOINT")
        os.sync()
        return name

    def drop(self, name):
        self.admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def version(self):
        return self.admin.execute("SHOW server_version").fetchone()[0]

    def stop(self):
        process.stop(self.child, signal.SIGINT)
