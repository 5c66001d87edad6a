"""Performer: does verbs of administration in a running broker, for the control socket and the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from leveret.core.errors.administration import AdministrationError, Promise
from leveret.server.driver import Driver

DURABLE_S = 10.0  # how long an answer waits for the disk

Perform = Callable[[str, dict[str, object]], object]


class Performer:
    """perform: does a verb, or raises AdministrationError.

    prepare: called in another thread before the first verb, for what takes time and has to be done once.
    """

    def __init__(self, driver: Driver, perform: Perform, prepare: Callable[[], None]) -> None:
        self._driver = driver
        self._perform = perform
        self._prepare = prepare
        self._is_prepared = False

    async def prepare(self) -> None:
        """Make sure that verbs can be done without a pause."""
        if not self._is_prepared:
            await asyncio.to_thread(self._prepare)
            self._is_prepared = True

    async def perform(self, verb: str, arguments: dict[str, object]) -> object:
        """Do a verb, and wait until what it did is safe. Raises: AdministrationError."""
        await self.prepare()
        return await self.do(verb, lambda: self._perform(verb, arguments))

    async def do(self, name: str, step: Callable[[], object]) -> object:
        """Do something to the broker, and wait until it is safe. name: what an error calls it.

        Raises: AdministrationError, and what the step raises.
        """
        driver = self._driver
        result = self.step(step)
        if isinstance(result, Promise):
            await driver.until(result.is_kept)
            result = result.result()
        try:
            async with asyncio.timeout(DURABLE_S):
                await driver.durable()
        except TimeoutError:
            text = f"{name} is done, but cannot be written to the data directory; the broker's log says why"
            raise AdministrationError(text) from None
        return result

    def step(self, step: Callable[[], object]) -> object:
        """Do something to the broker now, and let follow what follows. Returns, raises: what the step does."""
        driver = self._driver
        driver.refresh_clock()
        try:
            return step()
        finally:
            driver.broker.settle()
            driver.turn()
