"""A queue that is told to hold and to pause, and told otherwise, against a model.

Nothing comes before its time or out of order, nothing is lost, and all is counted.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from leveret.wire.methods import BasicAck, BasicNack, QueuePurge, QueuePurgeOk
from tests.clients.socketless import Peer
from tests.session.queue_scene import QueueScene, Taker

PREFETCH = 3
DUE = st.one_of(st.none(), st.integers(-50, 400))


class DetoursModel(RuleBasedStateMachine):
    """One queue with one consumer. due: of each message that waits, by its number, 0 for none."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = QueueScene()
        self.taker = Taker(self.scene, PREFETCH)
        self.due: dict[int, int] = {}
        self.had: dict[int, int] = {}  # due times of those that the consumer has
        self.holds = False
        self.is_paused = False
        self.number = 0
        self.gone = 0

    @property
    def today_ms(self) -> int:
        """The time of day."""
        return int(self.scene.broker.clock.today_ms)

    @rule(dues=st.lists(DUE, min_size=1, max_size=4))
    def publish(self, dues: list[int | None]) -> None:
        """Some messages."""
        for offset in dues:
            self.number += 1
            due = 0 if offset is None else self.today_ms + offset
            self.due[self.number] = due
            self.scene.publish(str(self.number), headers=None if offset is None else {"eta": due})
            self.deliveries()

    @rule(milliseconds=st.sampled_from([1, 7, 50, 200]))
    def time_passes(self, milliseconds: int) -> None:
        """Some time, millisecond by millisecond, so that what comes earlier is due earlier."""
        for _ in range(milliseconds):
            self.scene.pass_ms(1)
            if self.holds and any(due == self.today_ms for due in self.due.values()):
                self.deliveries()
        self.deliveries()

    @rule(leap_ms=st.sampled_from([-3000, -1500, 1500, 3000]))
    def clock_leaps(self, leap_ms: int) -> None:
        """Somebody sets the clock, while nothing goes out: what is due is let in a millisecond later."""
        before, self.is_paused = self.is_paused, True
        self._say()
        self.scene.broker.look_at_clock(self.today_ms + leap_ms)
        self.scene.pass_ms(1)
        self.is_paused = before
        self._say()
        self.deliveries()

    @rule()
    def hold(self) -> None:
        """It holds from now on, or not any more."""
        before, self.is_paused = self.is_paused, True
        self.holds = not self.holds
        self._say()
        self.scene.pass_ms(1)
        self.is_paused = before
        self._say()
        self.deliveries()

    @rule()
    def pause(self) -> None:
        """It is paused, or not any more."""
        self.is_paused = not self.is_paused
        self._say()
        self.deliveries()

    def _say(self) -> None:
        said: dict[str, object] = {"hold-until-header": "eta"} if self.holds else {}
        if self.is_paused:
            said["paused"] = True
        self.scene.vhost.override(self.scene.queue, said)
        self.scene.broker.settle()

    @precondition(lambda self: self.had)
    @rule(data=st.data(), gives_back=st.booleans())
    def settle(self, data: st.DataObject, gives_back: bool) -> None:
        """The consumer is done with a message, or gives it back."""
        number = data.draw(st.sampled_from(sorted(self.had)))
        tag = self.taker.tags.pop(str(number))
        due = self.had.pop(number)
        if gives_back:
            self.due[number] = due
            self.taker.settle(BasicNack(tag, False, True))
        else:
            self.gone += 1
            self.taker.settle(BasicAck(tag))
        self.deliveries()

    @rule()
    def client_goes(self) -> None:
        """The client is lost, and another one comes."""
        self.taker.peer.connection.lost()
        self.scene.broker.finish()
        self.due.update(self.had)
        self.had.clear()
        self.taker = Taker(self.scene, PREFETCH)
        self.deliveries()

    @rule()
    def drop(self) -> None:
        """The message that is due first is thrown away."""
        holding = self.scene.queue.detours.holding
        for held in holding.page(0, 1) if holding is not None else ():
            number = int(held.entry.message.body())
            assert held.due_ms == self.due.pop(number)
            assert self.scene.queue.drop_held(held.place)
            self.gone += 1

    @rule()
    def purge(self) -> None:
        """Everything that nobody has is gone."""
        assert Peer(self.scene.broker).call(QueuePurge("q"), QueuePurgeOk).message_count == len(self.due)
        self.gone += len(self.due)
        self.due.clear()
        self.scene.broker.finish()

    def deliveries(self) -> None:
        """The consumer gets what may go, in order, as much of it as there is room for."""
        expected: list[int] = []
        for number in sorted(self.due):
            if len(self.had) + len(expected) == PREFETCH or self.is_paused:
                break
            if not self.holds or self.due[number] <= self.today_ms:
                expected.append(number)
        assert [int(body) for body in self.taker.got()] == expected
        for number in expected:
            self.had[number] = self.due.pop(number)

    @invariant()
    def all_is_counted(self) -> None:
        """Nothing is lost, and nothing twice."""
        ready, held, unacked = self.scene.counts()
        assert (ready + held, unacked) == (len(self.due), len(self.had))
        total = self.scene.queue.total()
        assert total.published == ready + held + unacked + self.gone == self.number
        if not self.holds:
            assert held == 0


TestDetoursModel = DetoursModel.TestCase
TestDetoursModel.settings = settings(stateful_step_count=40)
