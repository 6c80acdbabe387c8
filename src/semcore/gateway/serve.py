"""Runs the gateway on uvicorn: in this process, or in several that share a cache file."""

from __future__ import annotations

import ipaddress
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import wait
from typing import Any

import httptools  # noqa: F401  # uvicorn takes both by name, when it is too late to say what is missing
import uvicorn
import uvloop  # noqa: F401
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from semcore import Cache, ConfigError
from semcore.gateway.app import Gateway
from semcore.gateway.config import Serving, Settings
from semcore.gateway.log import log_json
from semcore.gateway.workers import counting_together

STARTING = 60.0  # seconds that a worker may take


class Owner(Gateway):
    """A gateway whose cache is its own: it closes it, too."""

    async def close(self) -> None:
        await super().close()
        self.store.cache.close()


@dataclass(frozen=True)
class Factory:
    """Makes the application, in the process that serves it. open: opens the cache; both can be pickled."""

    settings: Settings
    open: Callable[[], Cache]

    def __call__(self) -> Gateway:
        if self.settings.log_format == "json":
            log_json()
        parent = multiprocessing.parent_process()
        if parent is not None:
            threading.Thread(target=end_with, args=(parent.sentinel,), daemon=True).start()
        return Owner(self.settings, self.open())


def end_with(sentinel: int) -> None:
    """A worker whose supervisor is gone answers what it has, and ends."""
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


class Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


class Supervisor(Multiprocess):
    """Keeps so many workers alive. Says when the first is ready."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], ready: Callable[[], None]
    ) -> None:
        super().__init__(config, sockets)
        self._ready = ready

    def init_processes(self) -> None:
        super().init_processes()
        if self.processes[0].wait_until_ready(STARTING, self.should_exit):
            self._ready()

    def terminate_all(self) -> None:
        """Nobody shall wait for a connection that no worker takes any more."""
        for sock in self.sockets:
            sock.close()
        super().terminate_all()

    @property
    def failed(self) -> bool:
        """Did a worker not come up?"""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)


def serve(
    settings: Settings, serving: Serving, open: Callable[[], Cache], ready: Callable[[str], None]
) -> bool:
    """Serves until it is told to end; then requests under way may go on for `serving.drain` seconds.

    Args:
        settings, serving: how.
        open: opens the cache, in every process that serves; it can be pickled.
        ready: told the address, `http://HOST:PORT`, when requests are answered.

    Returns:
        False: workers did not come up.

    Raises:
        ConfigError: the address cannot be had.
    """
    settings = replace(settings, local=is_local(serving.host))
    with listen(serving.host, serving.port) as sock, counting(serving) as directory:
        config = config_of(serving, Factory(replace(settings, together=directory), open))
        announce = partial(ready, address_of(sock))
        if serving.workers == 1:
            server = Server(config, announce)
            server.run([sock])
            return server.started
        supervisor = Supervisor(config, [sock], announce)
        supervisor.run()
        return not supervisor.failed


def counting(serving: Serving) -> AbstractContextManager[str | None]:
    """Where the workers count together; None: there is one."""
    if serving.workers == 1 or serving.cache is None:
        return nullcontext()
    return counting_together(serving.cache)


def config_of(serving: Serving, factory: Factory) -> uvicorn.Config:
    return uvicorn.Config(
        factory, factory=True, workers=serving.workers, http="httptools", loop="uvloop", ws="none",
        lifespan="on", access_log=False, log_config=logging_of(serving.log_level), timeout_keep_alive=75,
        timeout_graceful_shutdown=serving.drain, server_header=False, date_header=False, proxy_headers=False,
    )  # fmt: skip


def logging_of(level: str) -> dict[str, Any]:
    """To standard error, everything from a level on; as `logging.config.dictConfig` takes it."""
    logger = {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {"uvicorn": logger, "semcore": logger},
    }


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(f"host, port: cannot listen at {host}:{port}: {error.strerror}") from None


def address_of(sock: socket.socket) -> str:
    """As a client on this machine may write it."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_local(host: str) -> bool:
    """Is it this machine's loopback?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
