"""What the reports on files share: tables, the conditions of a run, and writing them down."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from versus import machine, row, versions


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; all columns but the first hold numbers."""
    lines = [row(list(head)), row(["---", *["--:"] * (len(head) - 1)])]
    return "\n".join(lines + [row(list(cells)) for cells in rows])


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def conditions(packages: str, load_before: str, folder: Path) -> str:
    """The machine, the versions, the load, and where the files were."""
    here = machine()
    named = ", ".join(f"{name} {version}" for name, version in versions(packages).items())
    return "\n".join(
        [
            f"- {here['cpu']}, {here['cores']} cores, {' '.join(here['flags'])}",
            f"- load average {load_before} before, {load()} after",
            f"- {here['system']}, Python {here['python']}; {named}",
            f"- files on {filesystem(folder)}",
        ]
    )


def filesystem(folder: Path) -> str:
    """The type of the file system that `folder` is on."""
    answer = subprocess.run(["df", "--output=fstype", folder], capture_output=True, text=True, check=True)
    return answer.stdout.split()[-1]


def command() -> str:
    """The line this run was started with."""
    return shlex.join(["python", *(os.path.relpath(a) if a == sys.argv[0] else a for a in sys.argv)])


def write(parts: Sequence[str], out: Path | None) -> None:
    """Print the report, and keep it in a file if one is given."""
    text = "\n\n".join([f"# {command()}", *parts]) + "\n"
    print(text, end="")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
