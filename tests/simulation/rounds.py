"""Rounds: what an Ownership does in a round, each statement at its own time.

A round is a plain call, which waits for each statement. Here it is interrupted at a statement, and called again from
the start once the answer is there, which is given to it then.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from leveret.cluster.ownership import Ownership, Rounds, Shard, View
from tests.simulation import statements
from tests.simulation.server import Connection, Done, Outcome, Refused, Statement


class Unreachable(Exception):
    """The connection is broken, or a row is locked for too long. is_locked: which of the two."""

    def __init__(self, is_locked: bool) -> None:
        super().__init__()
        self.is_locked = is_locked


class _Missing(Exception):
    """The answer to a statement is not there yet."""

    def __init__(self, statement: Statement) -> None:
        super().__init__(statement.name)
        self.statement = statement


class _Replay(Rounds):
    """Gives the answers that are there."""

    def __init__(self, name: str, answers: list[Outcome]) -> None:
        self._name = name
        self._answers = list(reversed(answers))

    def _ask(self, statement: Statement) -> Any:
        if not self._answers:
            raise _Missing(statement)
        outcome = self._answers.pop()
        if not isinstance(outcome, Done):
            raise Unreachable(isinstance(outcome, Refused))
        return outcome.value

    def enter(self, name: str, address: str | None) -> int:
        """See Rounds."""
        return int(self._ask(statements.enter(name, address)))

    def beat(self, node: int) -> bool:
        """See Rounds."""
        return bool(self._ask(statements.beat(node)))

    def look(self) -> View:
        """See Rounds."""
        view = self._ask(statements.look())
        assert isinstance(view, View)
        return view

    def declare_dead(self, node: int, beat: int) -> bool:
        """See Rounds."""
        return bool(self._ask(statements.declare_dead(node, beat, self._name)))

    def take(self, node: int, shards: Sequence[Shard], least: int = 1, keeps_clean: bool = False) -> set[int]:
        """See Rounds."""
        return set(self._ask(statements.take(node, list(shards), least, keeps_clean)))

    def prune(self, node: int) -> None:
        """See Rounds."""
        self._ask(statements.prune(node))


class Round:
    """One call of an Ownership. then: gets the result, or an Unreachable."""

    def __init__(
        self,
        ownership: Ownership,
        connection: Connection,
        call: Callable[[Rounds], Any],
        then: Callable[[Any], None],
    ) -> None:
        self._ownership = ownership
        self._connection = connection
        self._call = call
        self._then = then
        self._answers: list[Outcome] = []
        self._before = self._state()
        self._go_on()

    def _state(self) -> dict[str, Any]:
        return {name: copy.copy(value) for name, value in vars(self._ownership).items()}

    def _go_on(self) -> None:
        vars(self._ownership).update({name: copy.copy(value) for name, value in self._before.items()})
        try:
            result = self._call(_Replay(self._ownership.name, self._answers))
        except _Missing as missing:
            self._connection.ask(missing.statement, self._answered)
        except Unreachable as error:
            self._then(error)
        else:
            self._then(result)

    def _answered(self, outcome: Outcome) -> None:
        self._answers.append(outcome)
        self._go_on()
