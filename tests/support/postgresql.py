"""Run a PostgreSQL server for the tests, from the programs installed on this machine."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from support.servers import find_free_port
from support.waiting import SOON

USER = "gate"


def find_programs():
    """Return the folder of initdb and pg_ctl, or None if they are not installed."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("pg_ctl") is not None:
        return Path(found).resolve().parent
    # Debian installs them outside PATH, in a folder for each version.
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


class Postgres:
    """A database cluster on a free port.

    PostgreSQL does not run as root: for root it runs as the user postgres, or nobody.
    """

    def __init__(self, folder):
        self._bin = folder
        self._user = _find_user_for_root() if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="modelgate-pg-"))
        self.password = secrets.token_urlsafe(16)
        self.port = find_free_port()
        self.url = f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/postgres"
        secret = self._folder / "password"
        secret.write_text(self.password)
        if self._user is not None:
            for path in (self._folder, secret):
                shutil.chown(path, self._user)
        self._run(
            "initdb",
            *("--no-sync", "--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}"),
            *("--encoding=UTF8", "--locale=C"),
        )

    def start(self):
        """Start the server, and wait until it accepts connections."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "start", "--wait", f"--log={self._folder / 'log'}", f"--options={options}")

    def clear_tables(self):
        """Drop the tables of earlier tests, and return the URL of the database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            query = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
            for (name,) in connection.execute(query):
                connection.execute(f"DROP TABLE {name}")
        return self.url

    def stop(self):
        """Stop the server as a crash would."""
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    @contextlib.contextmanager
    def suspend(self):
        """Suspend the server during a block: its connections stay open, and nothing is answered."""
        with psycopg.connect(self.url) as connection:
            pids = [pid for (pid,) in connection.execute("SELECT pid FROM pg_stat_activity")]
        pids.append(int((self._folder / "data/postmaster.pid").read_text().split()[0]))
        try:
            for pid in pids:
                _signal(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                _signal(pid, signal.SIGCONT)

    def remove(self):
        """Delete the files of the cluster."""
        shutil.rmtree(self._folder)

    def _run(self, program, *options):
        # A server started by pg_ctl would keep a pipe open for as long as it runs.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [self._bin / program, f"--pgdata={self._folder / 'data'}", *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self._user,
                cwd=self._folder,
                timeout=SOON,
            )
            output.seek(0)
            assert done.returncode == 0, output.read().decode()


def _signal(pid, number):
    # The process that listed the others has ended.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _find_user_for_root():
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
