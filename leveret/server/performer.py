"""Performer: runs administrative operations (verbs) in the broker, for the control socket and the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from leveret.core.errors.administration import AdministrationError, Promise
from leveret.server.driver import Driver

DURABLE_S = 10.0  # how long an answer waits for the disk

Perform = Callable[[str, dict[str, object]], object]
IsPersisted = Callable[[str], bool]


class NotDurable(AdministrationError):
    """The operation is done, but cannot be written to the disk for now."""


class Performer:
    """perform: runs a verb, or raises AdministrationError. is_persisted: whether its effect is stored on disk.

    prepare: called once, in another thread, before the first verb, for slow preparations.
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
        """Run the slow preparations, once."""
        if not self._is_prepared:
            await asyncio.to_thread(self._prepare)
            self._is_prepared = True

    async def perform(self, verb: str, arguments: dict[str, object]) -> object:
        """Run a verb, and wait until its effect is durable. Raises: AdministrationError."""
        await self.prepare()
        return await self.do(verb, lambda: self._perform(verb, arguments), self._is_persisted(verb))

    async def perform_all(self, verbs: Sequence[tuple[str, dict[str, object]]]) -> None:
        """Run verbs in order, and wait once until all effects are durable.

        Raises: AdministrationError. The verbs before a refused one stay done; those after it are not run.
        """
        await self.prepare()
        for verb, arguments in verbs:
            await self.do(verb, lambda verb=verb, arguments=arguments: self._perform(verb, arguments), waits=False)  # type: ignore[misc]
        if any(self._is_persisted(verb) for verb, _ in verbs):
            await self.safe("this")

    async def do(self, name: str, step: Callable[[], object], waits: bool = True) -> object:
        """Run a step in the broker. name: for error texts. waits: until all definitions are durable.

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
        """Wait until all present definitions are durable. name: of the operation, for the error. Raises: NotDurable."""
        try:
            async with asyncio.timeout(DURABLE_S):
                await self._driver.durable()
        except TimeoutError:
            text = "it is lost if the broker stops before writing works again; the broker's log says why"
            raise NotDurable(f"{name} is done, but cannot be written to the data directory: {text}") from None

    def step(self, step: Callable[[], object]) -> object:
        """Run a step in the broker now, and settle its consequences. Returns, raises: what the step does."""
        driver = self._driver
        driver.refresh_clock()
        try:
            return step()
        finally:
            driver.broker.settle()
            driver.turn()
