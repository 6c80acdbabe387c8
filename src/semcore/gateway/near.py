"""Near misses: what the nearest entry was when none was near enough. Searched after the response has gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from semcore import Cache
from semcore.gateway.seen import Missed, Watch
from semcore.gateway.tally import LONGEST, Near

log = logging.getLogger("semcore.gateway")

BELOW = 0.2  # how far below the threshold is near
PAUSE = 0.1  # seconds between two searches, whatever the traffic: others are left out


class NearMisses:
    """Searches, one at a time and in another thread, for the latest of the misses.

    Args:
        cache: what is searched.
        found: told of near misses.
        texts: tell what was asked, and what the nearest entry's question was.
        clock: seconds since the epoch, for tests.
    """

    def __init__(
        self,
        cache: Cache,
        found: Callable[[Near], None],
        texts: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache, self._found, self._texts, self._clock = cache, found, texts, clock
        self._latest: Watch | None = None
        self._task: asyncio.Task[None] | None = None

    def after(self, watch: Watch) -> None:
        """Called when a response has gone."""
        if watch.missed is None:
            return
        self._latest = watch
        if self._task is None:
            self._task = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        try:
            while (watch := self._latest) is not None and watch.missed is not None:
                self._latest = None
                await self._search(watch, watch.missed)
                await asyncio.sleep(PAUSE)
        finally:
            self._task = None

    async def _search(self, watch: Watch, missed: Missed) -> None:
        place, vector, threshold = missed
        try:
            found = await asyncio.to_thread(
                self._cache._nearest, vector, place.namespace, place.context, threshold - BELOW, 2
            )
        except Exception as error:  # a failing cache is the store's to tell; this is a sample
            log.warning("looking for near misses failed: %s", type(error).__name__)
            return
        for each in found:
            if each.id != watch.stored and each.similarity < threshold:
                texts = (place.text, text_of(each.text)) if self._texts else (None, None)
                about = (watch.api, watch.model[:LONGEST], each.similarity, threshold, each.age)
                self._found(Near(self._clock(), *about, *texts))
                return


def text_of(text: str | bytes | None) -> str | None:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
