"""Who logs in, who does not, and that nobody learns from the time it takes which names there are."""

from __future__ import annotations

import asyncio
import time

import pytest

from leveret.auth import line
from leveret.auth.addresses import is_loopback, site
from leveret.auth.authenticator import ClientGone, LoginRefused, TooBusy
from leveret.auth.history import FIRST_DELAY_S, FORGET_S, LAST_DELAY_S, MOST_KNOWN, History
from leveret.auth.internal import InternalAuthenticator
from leveret.auth.line import MOST, MOST_OF_NAME, MOST_OF_SITE, Line
from leveret.auth.passwords import ARGON2, NOBODY, argon2, salted
from leveret.core.access.user import Credential, User
from leveret.core.broker import Broker
from tests.clients.socketless import make_broker

SLOW = argon2("secret")
HERE, ELSEWHERE = "127.0.0.1", "192.0.2.1"


def users(credential: Credential) -> Broker:
    """A broker with the user u, and guest."""
    broker = make_broker()
    broker.users.put("u", credential)
    broker.users.put("guest", salted("guest"))
    return broker


def stays() -> bool:
    """What a client says of itself that has not gone."""
    return False


async def log_in(authenticator: InternalAuthenticator, name: str, password: str, host: str = ELSEWHERE) -> User:
    """As a connection does it."""
    user = authenticator.authenticate_now(name, password, host)
    return await authenticator.authenticate(name, password, host, stays) if user is None else user


# -- passwords


def test_cheap_logins_are_answered_at_once() -> None:
    broker = users(salted("secret"))
    authenticator = InternalAuthenticator(broker.users, ("guest",))
    assert authenticator.authenticate_now("u", "secret", ELSEWHERE) is broker.users.get("u")
    assert authenticator.authenticate_now("guest", "guest", HERE) is broker.users.get("guest")


@pytest.mark.parametrize(
    ("name", "password", "text"),
    [
        ("u", "wrong", "user 'u' - invalid credentials"),
        ("none", "secret", "user 'none' - invalid credentials"),
        ("u", "", "user 'u' attempted to log in with a blank password"),
        ("none", "", "user 'none' - invalid credentials"),
        ("guest", "guest", "user 'guest' can only connect via localhost"),
        ("guest", "wrong", "user 'guest' - invalid credentials"),
    ],
)
@pytest.mark.parametrize("credential", [salted("secret"), SLOW], ids=["cheap", "slow"])
def test_who_is_refused_and_why(credential: Credential, name: str, password: str, text: str) -> None:
    authenticator = InternalAuthenticator(users(credential).users, ("guest",))
    assert authenticator.authenticate_now(name, password, ELSEWHERE) is None
    with pytest.raises(LoginRefused, match=text):
        asyncio.run(log_in(authenticator, name, password))


def test_slow_logins_are_computed_once_and_then_known() -> None:
    broker = users(SLOW)
    authenticator = InternalAuthenticator(broker.users, ())
    assert authenticator.authenticate_now("u", "secret", ELSEWHERE) is None

    async def scenario() -> None:
        logins = [log_in(authenticator, "u", "secret") for _ in range(200)]
        assert set(await asyncio.gather(*logins)) == {broker.users.get("u")}
        with pytest.raises(LoginRefused, match="invalid credentials"):
            await log_in(authenticator, "u", "wrong")

    began = time.process_time()
    argon2("to compare")
    one_s = time.process_time() - began
    began = time.process_time()
    asyncio.run(scenario())
    assert time.process_time() - began < 100 * one_s  # 200 computations take longer
    assert authenticator.authenticate_now("u", "secret", ELSEWHERE) is broker.users.get("u")
    assert authenticator.authenticate_now("u", "other", ELSEWHERE) is None


def test_a_new_password_ends_what_is_known() -> None:
    broker = users(SLOW)
    authenticator = InternalAuthenticator(broker.users, ())
    asyncio.run(log_in(authenticator, "u", "secret"))
    broker.users.put("u", argon2("other"))
    with pytest.raises(LoginRefused):
        asyncio.run(log_in(authenticator, "u", "secret"))
    broker.users.delete("u")
    with pytest.raises(LoginRefused):
        asyncio.run(log_in(authenticator, "u", "other"))


def test_a_slow_login_that_is_given_up_does_not_fail_the_others() -> None:
    broker = users(SLOW)
    authenticator = InternalAuthenticator(broker.users, ())

    async def scenario() -> None:
        first = asyncio.ensure_future(log_in(authenticator, "u", "secret"))
        second = asyncio.ensure_future(log_in(authenticator, "u", "secret"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second is broker.users.get("u")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "password", "host"),
    [
        ("none", "secret", ELSEWHERE),
        ("none", "", ELSEWHERE),
        ("slow", "wrong", ELSEWHERE),
        ("slow", "", ELSEWHERE),
        ("cheap", "wrong", ELSEWHERE),
        ("cheap", "", ELSEWHERE),
        ("nobody", "secret", ELSEWHERE),
        ("broken", "secret", ELSEWHERE),
        ("unknown", "secret", ELSEWHERE),
        ("known", "wrong", ELSEWHERE),
        ("guest", "guest", ELSEWHERE),
        ("guest", "wrong", ELSEWHERE),
        ("guest", "guest", ""),
    ],
)
def test_who_is_refused_costs_one_computation(name: str, password: str, host: str) -> None:
    """Of processor time in other threads: whatever is wrong it is that of one hash, and never less."""
    broker = users(salted("secret"))
    for other, credential in {
        "slow": SLOW,
        "known": SLOW,
        "cheap": salted("secret"),
        "nobody": NOBODY,
        "broken": Credential(ARGON2, "$argon2id$broken"),
        "unknown": Credential("unknown", SLOW.hash),
    }.items():
        broker.users.put(other, credential)
    authenticator = InternalAuthenticator(broker.users, ("guest",))

    def one_s() -> float:
        began = time.process_time()
        argon2("to compare")
        return time.process_time() - began

    async def scenario() -> float:
        await log_in(authenticator, "known", "secret", host)
        began, own = time.process_time(), time.thread_time()
        assert authenticator.authenticate_now(name, password, host) is None
        with pytest.raises(LoginRefused):
            await authenticator.authenticate(name, password, host, stays)
        return time.process_time() - began - (time.thread_time() - own)

    before_s, took_s, after_s = one_s(), asyncio.run(scenario()), one_s()
    assert 0.4 * min(before_s, after_s) < took_s < 2.5 * max(before_s, after_s)


# -- addresses


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::1%lo"])
def test_addresses_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "unknown", "local", "localhost", "192.0.2.1", "::ffff:192.0.2.1", "::", "0.0.0.0", "fe80::1%lo", "128.0.0.1"],
)
def test_other_addresses_and_what_is_none(host: str) -> None:
    assert not is_loopback(host)


def test_what_belongs_together() -> None:
    assert site("2001:db8::1") == site("2001:db8::ffff:2") != site("2001:db8:0:1::1")
    assert site("::ffff:192.0.2.1") == site("192.0.2.1") != site("192.0.2.2")
    assert site("") == ""


# -- who has failed


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """What time it is."""
        return self.now_s


def test_who_fails_waits_longer_and_longer_and_is_forgiven() -> None:
    clock = Time()
    history = History(clock)
    delays = []
    for _ in range(10):
        history.failed("a", b"n")
        delays.append(history.delay_s("a", b"n"))
        clock.now_s += delays[-1]
        assert history.delay_s("a", b"n") == 0
    assert delays[:3] == pytest.approx([FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S])
    assert delays[-1] == pytest.approx(LAST_DELAY_S)
    assert (history.delay_s("b", b"n"), history.delay_s("a", b"m")) == (0, 0)
    assert history.failed_s("a") > 0
    assert history.failed_s(b"n") > 0
    clock.now_s += FORGET_S + 1
    assert (history.failed_s("a"), history.failed_s(b"n")) == (0, 0)
    history.failed("a", b"n")
    assert history.delay_s("a", b"n") == pytest.approx(FIRST_DELAY_S)
    history.succeeded("a", b"n")
    assert history.delay_s("a", b"n") == 0


def test_what_is_remembered_is_bounded() -> None:
    history = History(Time())
    history.succeeded("a", b"n")
    for number in range(MOST_KNOWN + 10):
        history.failed(f"{number}", b"n")
    assert not history.has_succeeded("a", b"n")
    assert history.delay_s("0", b"n") == 0
    assert history.delay_s(f"{MOST_KNOWN}", b"n") > 0
    assert len(history._pairs) == len(history._failed_s) == MOST_KNOWN


def test_a_guess_is_not_told_by_a_missing_delay() -> None:
    """The right password of somebody who has failed waits as a wrong one, unless it came from there before."""
    clock = Time()
    broker = users(salted("secret"))
    authenticator = InternalAuthenticator(broker.users, (), clock)

    async def scenario() -> None:
        user = broker.users.get("u")
        assert authenticator.authenticate_now("u", "secret", HERE) is user
        for host in (HERE, ELSEWHERE):
            with pytest.raises(LoginRefused):
                await log_in(authenticator, "u", "wrong", host)
        assert authenticator.authenticate_now("u", "secret", HERE) is user
        assert authenticator.authenticate_now("u", "secret", ELSEWHERE) is None
        assert authenticator.authenticate_now("u", "secret", "192.0.2.2") is user
        later = asyncio.ensure_future(authenticator.authenticate("u", "secret", ELSEWHERE, stays))
        await asyncio.sleep(2 * FIRST_DELAY_S)
        assert not later.done()
        clock.now_s += FIRST_DELAY_S
        assert await later is user
        assert authenticator.authenticate_now("u", "secret", ELSEWHERE) is user

    asyncio.run(scenario())


# -- the line


class Work:
    """Checks that are done when the test says so, and the order in which they were begun."""

    def __init__(self, clock: Time) -> None:
        self.history = History(clock)
        self.line = Line(self.history)
        self.begun: list[str] = []
        self.gone: set[str] = set()
        self.tasks: dict[str, asyncio.Task[bool]] = {}
        self._results: dict[str, asyncio.Event] = {}
        self._loop = asyncio.get_running_loop()

    def ask(self, at: str, name: str) -> str:
        """Somebody asks."""
        key = f"{at}/{name}/{len(self.tasks)}"
        check = self.line.check(key, at, name.encode(), lambda: self._work(key), lambda: key in self.gone)
        self.tasks[key] = asyncio.ensure_future(check)
        self._results[key] = asyncio.Event()
        return key

    def _work(self, key: str) -> bool:
        self.begun.append(key)
        asyncio.run_coroutine_threadsafe(self._results[key].wait(), self._loop).result(30)
        return True

    async def begins(self, *keys: str) -> None:
        """Wait until these are the last ones that were begun."""
        deadline = time.monotonic() + 20
        while set(self.begun[-len(keys) :]) != set(keys):
            assert time.monotonic() < deadline, (keys, self.begun)
            await asyncio.sleep(0.001)

    async def end(self, key: str) -> None:
        """One is done."""
        self._results[key].set()
        assert await self.tasks[key]

    async def end_all(self) -> None:
        """All that are left."""
        for each in self._results.values():
            each.set()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


def test_who_has_failed_comes_after_who_has_not() -> None:
    async def scenario() -> None:
        clock = Time()
        work = Work(clock)
        for number in range(3):
            clock.now_s += 1
            work.history.failed(f"bad{number}", b"victim")
        first = work.ask("bad0", "victim")
        await work.begins(first)
        waiting = [work.ask(f"bad{number}", "victim") for number in (2, 1, 0)]
        fresh = work.ask("other", "other")
        await work.begins(fresh)  # at once, although one thread has nothing to do for the others
        fellow = work.ask("other", "victim")
        await work.end(fresh)
        await work.end(first)
        await work.begins(fellow)  # whose name has failed, but not from there
        await work.end(fellow)
        for key in (waiting[2], waiting[1], waiting[0]):
            await work.begins(key)
            await work.end(key)

    asyncio.run(scenario())


def test_who_has_gone_is_not_looked_at() -> None:
    async def scenario() -> None:
        work = Work(Time())
        first, second = work.ask("a", "n"), work.ask("b", "m")
        await work.begins(first, second)
        gone = [work.ask("a", f"gone{number}") for number in range(20)]
        cancelled = [work.ask("a", f"cancelled{number}") for number in range(20)]
        last = work.ask("a", "n")
        await asyncio.sleep(0)
        work.gone.update(gone)
        for key in cancelled:
            work.tasks[key].cancel()
        await work.end(first)
        await work.begins(last)
        for key in gone:
            with pytest.raises(ClientGone):
                await work.tasks[key]
        await work.end_all()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("most", "at", "who"),
    [(MOST_OF_NAME, "s{}", "victim"), (MOST_OF_SITE, "bad", "n{}"), (MOST, "s{}", "n{}")],
    ids=["name", "site", "all"],
)
def test_a_full_line(most: int, at: str, who: str) -> None:
    """Suspects are sent away, and for others one of them has to leave."""

    async def scenario() -> None:
        clock = Time()
        work = Work(clock)
        for number in range(line.THREADS):
            work.ask(f"busy{number}", f"busy{number}")
        await asyncio.sleep(0)
        asked = []
        for number in range(most):
            work.history.failed(at.format(number), who.format(number).encode())
            asked.append(work.ask(at.format(number), who.format(number)))
        await asyncio.sleep(0)
        clock.now_s += 1
        work.history.failed(at.format("late"), who.format("late").encode())
        late = work.ask(at.format("late"), who.format("late"))
        with pytest.raises(TooBusy):
            await work.tasks[late]
        assert not any(work.tasks[key].done() for key in asked)
        fresh = work.ask("other", "other")
        await asyncio.sleep(0.01)
        assert not work.tasks[fresh].done()
        assert sum(work.tasks[key].done() for key in asked) == (1 if most == MOST else 0)
        await work.end_all()

    asyncio.run(scenario())
