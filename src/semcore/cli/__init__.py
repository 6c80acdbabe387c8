"""The `semcore` command. With the package `rich` (extra `cli`) its tables and progress look better."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence


class Terminated(BaseException):
    """The process was asked to end: what is half done is removed first."""

    def __init__(self, signum: int) -> None:
        self.signum = signum


def terminate(signum: int, frame: object) -> None:
    raise Terminated(signum)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status (2: a bad argument or an unusable file)."""
    import semcore
    from semcore.cli import demo, embed, files, prefix, replay, serve, transfer

    parser = argparse.ArgumentParser(prog="semcore", description="The embedded semantic cache.")
    parser.add_argument("--version", action="version", version=f"semcore {semcore.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    replay.add_parser(commands)
    files.add_parsers(commands)
    transfer.add_parsers(commands)
    embed.add_parser(commands)
    prefix.add_parser(commands)
    serve.add_parser(commands)
    demo.add_parser(commands)
    args = parser.parse_args(argv)
    if threading.current_thread() is threading.main_thread():
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, terminate)
    try:
        return int(args.run(args))
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (semcore.SemcoreError, ValueError, TypeError, OSError) as error:
        print(f"semcore {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Terminated as end:
        return 128 + end.signum
