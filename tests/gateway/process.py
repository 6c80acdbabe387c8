"""`semcore serve` in processes of its own."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

SECONDS = 60  # the deadline of everything that is waited for


class Serve:
    """Under way. address: where; lines: what it printed; errors: a file with what it logged."""

    def __init__(self, process, errors):
        self.process, self.errors = process, errors
        self.line = self._ready()
        self.address = re.search(r"ANTHROPIC_BASE_URL=(\S+)", self.line)[1].rstrip(";")

    def _ready(self):
        select.select([self.process.stdout], [], [], SECONDS)
        line = self.process.stdout.readline().decode()
        assert line.startswith("ready: "), line + self.errors.read_text()
        return line

    def workers(self):
        """Their pids."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split() if b"spawn_main" in command(pid)]

    def stop(self):
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


def command(pid):
    """Of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_until(true):
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.02)


@contextmanager
def serving(folder, *flags, **environ):
    """A gateway on a free port, with these flags."""
    errors = Path(folder) / "errors"
    with errors.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "semcore.cli", "serve", "--port", "0", *map(str, flags)],
            stdout=subprocess.PIPE, stderr=log, env=os.environ | environ, start_new_session=True,
        )  # fmt: skip
    try:
        yield Serve(process, errors)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
