"""Jobs: verbs whose work is done in pieces, so that clients can be served in between."""

from __future__ import annotations

from collections.abc import Iterator

from leveret.core.broker import Broker
from leveret.core.errors.administration import Promise
from leveret.core.turn.background import BackgroundJob


class Job(BackgroundJob):
    """Steps of which each is short. answer: what it is about to answer; error: what it ended with."""

    def __init__(self, steps: Iterator[bool], answer: dict[str, object]) -> None:
        self.answer = answer
        self.error: Exception | None = None
        self.is_done = False
        self._steps = steps

    def work(self) -> bool:
        """Do a step."""
        try:
            self.is_done = next(self._steps, None) is None
        except Exception as error:
            self.error = error
            self.is_done = True
        return self.is_done

    def fail(self, doing: str, error: Exception) -> None:
        """Whoever waits hears of it."""
        self.error = error
        self.is_done = True


class Answer(Promise):
    """What a job answers when it is through."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def is_done(self) -> bool:
        """Whether it is through."""
        return self._job.is_done

    def result(self) -> object:
        """What it answers. Raises: what it ended with."""
        if self._job.error is not None:
            raise self._job.error
        return self._job.answer


def begin(broker: Broker, steps: Iterator[bool], answer: dict[str, object]) -> Promise:
    """Do the first step; the rest follows. steps: yields where others may have their turn. answer: filled by it."""
    job = Job(steps, answer)
    broker.background.begin(job)
    return Answer(job)


def complete(broker: Broker, answer: object) -> object:
    """What a verb has answered, and what it has promised, where nobody has to be let in between.

    Raises: AdministrationError, as the verb would.
    """
    if not isinstance(answer, Promise):
        return answer
    broker.finish()
    return answer.result()
