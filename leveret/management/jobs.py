"""Jobs: verbs that run in steps, so that clients can be served in between."""

from __future__ import annotations

from collections.abc import Iterator

from leveret.core.broker import Broker
from leveret.core.errors.administration import Promise
from leveret.core.turn.background import BackgroundJob


class Job(BackgroundJob):
    """A job of short steps. answer: its result, being built. error: the exception that ended it."""

    def __init__(self, steps: Iterator[bool], answer: dict[str, object]) -> None:
        self.answer = answer
        self.error: Exception | None = None
        self.is_done = False
        self._steps = steps

    def work(self) -> bool:
        """Run one step."""
        try:
            self.is_done = next(self._steps, None) is None
        except Exception as error:
            self.error = error
            self.is_done = True
        return self.is_done

    def fail(self, doing: str, error: Exception) -> None:
        """Pass the error to the caller."""
        self.error = error
        self.is_done = True


class Answer(Promise):
    """The promise of a job's answer."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def is_done(self) -> bool:
        """Whether the job has ended."""
        return self._job.is_done

    def result(self) -> object:
        """The answer. Raises: the exception that ended the job."""
        if self._job.error is not None:
            raise self._job.error
        return self._job.answer


def begin(broker: Broker, steps: Iterator[bool], answer: dict[str, object]) -> Promise:
    """Run the first step and schedule the rest. steps: a generator that yields between steps and fills answer."""
    job = Job(steps, answer)
    broker.background.begin(job)
    return Answer(job)


def complete(broker: Broker, answer: object) -> object:
    """The answer of a verb; completes a promised one now, where there are no clients to serve.

    Raises: AdministrationError, as the verb would.
    """
    if not isinstance(answer, Promise):
        return answer
    broker.finish()
    return answer.result()
