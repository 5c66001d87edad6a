"""Performer: does verbs of administration in a running broker, for the control socket and the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from leveret.core.errors.administration import AdministrationError, Promise
from leveret.server.driver import Driver

DURABLE_S = 10.0  # how long an answer waits for the disk

Perform = Callable[[str, dict[str, object]], object]
IsPersisted = Callable[[str], bool]


class NotDurable(AdministrationError):
    """Something is done, and the disk does not take it for now."""


class Performer:
    """perform: does a verb, or raises AdministrationError. is_persisted: whether the data directory keeps its effect.

    prepare: called in another thread before the first verb, for what takes time and has to be done once.
    """

    def __init__(
        self, driver: Driver, perform: Perform, is_persisted: IsPersisted, prepare: Callable[[], None]
    ) -> None:
        self._driver = driver
        self._perform = perform
        self._is_persisted = is_persisted
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
        return await self.do(verb, lambda: self._perform(verb, arguments), self._is_persisted(verb))

    async def perform_all(self, verbs: Sequence[tuple[str, dict[str, object]]]) -> None:
        """Do verbs that belong together one after the other, and wait once until all of it is safe.

        Raises: AdministrationError. What comes behind a verb that is refused is not done, what is before it is.
        """
        await self.prepare()
        for verb, arguments in verbs:
            await self.do(verb, lambda verb=verb, arguments=arguments: self._perform(verb, arguments), waits=False)  # type: ignore[misc]
        if any(self._is_persisted(verb) for verb, _ in verbs):
            await self.safe("this")

    async def do(self, name: str, step: Callable[[], object], waits: bool = True) -> object:
        """Do something to the broker. name: what an error calls it. waits: until all definitions are safe.

        Raises: AdministrationError, and what the step raises.
        """
        driver = self._driver
        result = self.step(step)
        if isinstance(result, Promise):
            await driver.until(result.is_done)
            result = result.result()
        if waits:
            await self.safe(name)
        return result

    async def safe(self, name: str) -> None:
        """Wait until all definitions of now are safe. name: of what was done. Raises: NotDurable."""
        try:
            async with asyncio.timeout(DURABLE_S):
                await self._driver.durable()
        except TimeoutError:
            text = "it is undone if the broker ends before that works; the broker's log says why"
            raise NotDurable(f"{name} is done, but cannot be written to the data directory: {text}") from None

    def step(self, step: Callable[[], object]) -> object:
        """Do something to the broker now, and let follow what follows. Returns, raises: what the step does."""
        driver = self._driver
        driver.refresh_clock()
        try:
            return step()
        finally:
            driver.broker.settle()
            driver.turn()
