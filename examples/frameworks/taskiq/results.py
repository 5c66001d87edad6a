"""Results of tasks over AMQP: a queue for each result, that the broker deletes when nobody asks for it any more.

taskiq-aio-pika brings no place for results. This one needs nothing but the broker that is there anyway.
"""

from __future__ import annotations

from typing import Any

from aio_pika import Message, connect_robust
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, AbstractRobustChannel, AbstractRobustConnection
from taskiq import AsyncResultBackend, TaskiqResult

KEEP_MS = 60_000


class AmqpResults(AsyncResultBackend[Any]):
    """Puts results into queues, and takes each out once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractRobustConnection | None = None
        self._channel: AbstractRobustChannel | None = None
        self._taken: dict[str, AbstractIncomingMessage] = {}

    async def startup(self) -> None:
        """Connect; the broker of the tasks calls this when it connects itself."""
        self._connection = await connect_robust(self._url)
        self._channel = await self._connection.channel()

    async def shutdown(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        """Keep a result until it is asked for, a minute at most."""
        queue = await self._queue(task_id)
        body = result.model_dump_json().encode()
        assert self._channel is not None
        await self._channel.default_exchange.publish(Message(body), routing_key=queue.name)

    async def is_result_ready(self, task_id: str) -> bool:
        """Look whether there is a result."""
        if task_id not in self._taken:
            message = await (await self._queue(task_id)).get(no_ack=True, fail=False)
            if message is None:
                return False
            self._taken[task_id] = message
        return True

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:
        """Return a result that is ready."""
        return TaskiqResult[Any].model_validate_json(self._taken.pop(task_id).body)

    async def _queue(self, task_id: str) -> AbstractQueue:
        assert self._channel is not None
        return await self._channel.declare_queue(
            f"taskiq.result.{task_id}", robust=False, arguments={"x-expires": KEEP_MS}, durable=True
        )
