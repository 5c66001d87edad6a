"""A broker in this process: how it starts and ends, what it is given, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aio_pika
import pika
import pika.exceptions
import pytest

import leveret
from leveret.node.errors import StartError
from leveret.store.chunk_store import StoreError
from leveret.testing import NotRunning
from tests.brokers.process import free_port
from tests.clients.waiting import eventually

from .conftest import Connect
from .support import PATIENCE_S, Call, connect, descriptors, ending, is_listening, raw, run

MakeLoop = Callable[[], asyncio.AbstractEventLoop]

LOOKS: dict[str, Callable[[Any], object]] = {
    "queues": lambda broker: broker.queues,
    "exchanges": lambda broker: broker.exchanges,
    "connections": lambda broker: broker.connections,
    "deliveries": lambda broker: broker.deliveries,
    "published": lambda broker: broker.published(),
    "report": lambda broker: broker.report(),
    "ready": lambda broker: broker.queue("q").ready,
    "exists": lambda broker: broker.queue("q").exists,
    "messages": lambda broker: broker.queue("q").messages,
    "publish": lambda broker: broker.publish("x", "q"),
    "declare_queue": lambda broker: broker.declare_queue("q"),
    "declare_exchange": lambda broker: broker.declare_exchange("e"),
    "bind": lambda broker: broker.bind("q", "amq.direct"),
    "define": lambda broker: broker.define({"queues": []}),
    "now": lambda broker: broker.clock.now(),
    "advance": lambda broker: broker.clock.advance(1),
    "auto": lambda broker: broker.clock.auto(),
    "drop": lambda broker: broker.faults.drop(),
    "close": lambda broker: broker.faults.close(),
    "nack": lambda broker: broker.faults.nack(),
    "freeze": lambda broker: broker.faults.freeze(),
    "slow": lambda broker: broker.faults.slow(1),
    "refuse_connections": lambda broker: broker.faults.refuse_connections(),
    "virtual_host": lambda broker: broker.virtual_host("v"),
    "delete_virtual_host": lambda broker: broker.delete_virtual_host("v"),
}
WAITS: dict[str, Callable[[Any], Any]] = {
    "wait_for": lambda broker: broker.wait_for("q", timeout=0.1),
    "wait_for_published": lambda broker: broker.wait_for_published(timeout=0.1),
    "wait_until_idle": lambda broker: broker.wait_until_idle(timeout=0.1),
    "restart": lambda broker: broker.restart(),
}


def send_and_get(url: str, **more: Any) -> None:
    """A message goes through a broker."""
    connection = connect(url, **more)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, b"hello")
    assert channel.basic_get(queue, auto_ack=True)[2] == b"hello"
    connection.close()


def threads() -> set[threading.Thread]:
    """The threads of brokers, and of what they start."""
    return {thread for thread in threading.enumerate() if thread.name != "call"}


def new_threads(before: set[threading.Thread]) -> set[threading.Thread]:
    """Threads that were not there before, once those that are about to end have ended."""
    for thread in threads() - before:
        thread.join(5)
    return threads() - before


# -- start and stop


def test_with_block() -> None:
    with leveret.Broker() as broker:
        port = broker.port
        assert broker.url == f"amqp://guest:guest@127.0.0.1:{port}"
        assert broker.host == "127.0.0.1"
        assert broker.name == "/"
        send_and_get(broker.url)
    assert not is_listening(port)


def test_stops_with_an_exception() -> None:
    broker = leveret.Broker()
    with pytest.raises(KeyError), broker:
        raise KeyError
    assert not is_listening(broker.port)


def test_start_and_stop_as_often_as_you_like() -> None:
    broker = leveret.Broker()
    broker.stop()
    broker.start()
    port = broker.port
    broker.start()
    assert broker.port == port
    send_and_get(broker.url)
    broker.stop()
    broker.stop()
    assert not is_listening(port)


def test_again_at_the_same_port_and_empty() -> None:
    broker = leveret.Broker()
    with broker:
        port = broker.port
        broker.declare_queue("q")
        broker.publish("x", "q", delivery_mode=2)
    with broker:
        assert broker.port == port
        assert broker.queues == []
        send_and_get(broker.url)


def test_again_without_a_past() -> None:
    broker = leveret.Broker()
    with broker:
        broker.publish("x", "q")
        broker.faults.nack(count=None)
        broker.clock.advance(days=7)
        later = broker.clock.now()
    with broker:
        assert broker.published() == []
        assert broker.clock.now() < later - 86400
        connection = connect(broker.url)
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", "q", b"x")
        connection.close()


def test_async_again() -> None:
    async def scenario() -> None:
        broker = leveret.AsyncBroker()
        await broker.stop()
        await broker.start()
        port = broker.port
        await broker.start()
        assert broker.port == port
        await broker.stop()
        await broker.stop()
        assert not is_listening(port)
        async with broker:
            assert broker.port == port
            assert is_listening(port)

    run(scenario, asyncio.new_event_loop)


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("use", LOOKS.values(), ids=LOOKS)
def test_look_while_it_does_not_run(use: Callable[[Any], object], ended: bool) -> None:
    broker, sibling = leveret.Broker(), leveret.AsyncBroker()
    if ended:
        with broker:
            pass
    with pytest.raises(NotRunning, match="is not running; start it"):
        Call(lambda: use(broker)).result()
    with pytest.raises((NotRunning, AttributeError)):  # an AsyncBroker cannot have all of them
        use(sibling)


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("use", WAITS.values(), ids=WAITS)
def test_wait_while_it_does_not_run(use: Callable[[Any], Any], ended: bool) -> None:
    broker = leveret.Broker()
    if ended:
        with broker:
            pass
    with pytest.raises(NotRunning, match="is not running; start it"):
        Call(lambda: use(broker)).result()


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("use", WAITS.values(), ids=WAITS)
def test_wait_while_an_async_broker_does_not_run(use: Callable[[Any], Any], ended: bool) -> None:
    async def scenario() -> None:
        broker = leveret.AsyncBroker()
        if ended:
            await broker.start()
            await broker.stop()
        try:
            with pytest.raises(NotRunning, match="is not running; start it"):
                await use(broker)
        finally:
            await broker.stop()

    run(scenario, asyncio.new_event_loop)


def test_no_url_before_the_start() -> None:
    with pytest.raises(NotRunning, match="start it first"):
        _ = leveret.Broker().url
    with leveret.Broker() as broker, pytest.raises(NotRunning, match="tls=True"):
        _ = broker.tls_url


def test_threads_that_look_while_it_stops() -> None:
    for _ in range(20):
        broker = leveret.Broker()
        broker.start()
        broker.declare_queue("q")
        looked = threading.Event()

        def look(broker: leveret.Broker = broker, looked: threading.Event = looked) -> None:
            while True:
                _ = broker.queue("q").ready
                looked.set()

        calls = [Call(look) for _ in range(4)]
        assert looked.wait(10)
        Call(broker.stop).result()
        for call in calls:
            with pytest.raises(NotRunning):
                call.result()


def test_a_wait_ends_with_the_broker() -> None:
    with leveret.Broker() as broker:
        call = Call(lambda: broker.wait_for("q", timeout=20))
        eventually(lambda: broker._server.node.driver._waiting)
    with pytest.raises(NotRunning):
        call.result()


def test_stop_tells_the_clients(clients: Connect) -> None:
    broker = leveret.Broker()
    broker.start()
    connection = clients(broker.url)
    broker.stop()
    error = ending(connection)
    assert isinstance(error, pika.exceptions.ConnectionClosedByBroker)
    assert error.reply_code == 320


def test_stop_does_not_wait_for_clients() -> None:
    with leveret.Broker() as broker:
        deaf = raw(broker.host, broker.port)
        call = Call(broker.stop)
        call.result(2)
        deaf.link.close()


def test_a_process_may_end_without_stop() -> None:
    script = """
import leveret, pika
broker = leveret.Broker()
broker.start()
connection = pika.BlockingConnection(pika.URLParameters(broker.url))
broker.clock.auto()
broker.reply_to("q", lambda message: message.body)
print("end")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_a_loop_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> asyncio.AbstractEventLoop:
        raise OSError("Too many open files")

    monkeypatch.setattr("leveret.testing.running._new_loop", fail)
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    with pytest.raises(OSError, match="Too many open files"):
        Call(leveret.Broker().start).result()


# -- what it is given


def test_port(clients: Connect) -> None:
    port = free_port()
    broker = leveret.Broker(port=port)
    assert broker.url == f"amqp://guest:guest@127.0.0.1:{port}"
    with broker:
        assert broker.port == port
        send_and_get(broker.url)


def test_port_in_use() -> None:
    before = threads()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        broker = leveret.Broker(port=port, tls=True)
        for _ in range(2):
            with pytest.raises(StartError, match=f"port {port} on 127.0.0.1 is in use"):
                broker.start()
        assert new_threads(before) == set()
        with pytest.raises(NotRunning):
            _ = broker.queues
    with broker:
        send_and_get(broker.url)
    assert new_threads(before) == set()


def test_port_in_use_for_an_async_broker() -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            broker = leveret.AsyncBroker(port=other.getsockname()[1])
            with pytest.raises(StartError, match="is in use"):
                await broker.start()
            with pytest.raises(NotRunning):
                _ = broker.queues
        async with broker:
            assert is_listening(broker.port)

    run(scenario, asyncio.new_event_loop)


def test_start_after_a_restart_that_failed() -> None:
    broker = leveret.Broker()
    broker.start()
    try:
        broker.faults.refuse_connections()
        with socket.create_server(("127.0.0.1", broker.port)), pytest.raises(StartError):
            broker.restart()
        broker.start()
        assert broker.queues == []
    finally:
        broker.stop()


def test_no_such_port(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        broker = leveret.AsyncBroker(port=70000)
        try:
            with pytest.raises(StartError, match="70000"):
                await broker.start()
        finally:
            await broker.stop()

    run(scenario, make_loop)


def test_no_such_host() -> None:
    with pytest.raises(StartError, match=r"cannot listen on no-such-host\.invalid"):
        leveret.Broker(host="no-such-host.invalid").start()


@pytest.mark.parametrize("host", ["localhost", "::1", "0.0.0.0"])
def test_host(host: str) -> None:
    try:
        with leveret.Broker(host=host) as broker:
            send_and_get(broker.url)
    except StartError:
        if ":" not in host:
            raise
        pytest.skip("this machine has no IPv6")


def test_users(clients: Connect) -> None:
    with leveret.Broker(users={"shop": "p@ss/w:rd%", "till": "5"}) as broker:
        assert broker.url == f"amqp://shop:p%40ss%2Fw%3Ard%25@127.0.0.1:{broker.port}"
        send_and_get(broker.url)
        shop = broker.virtual_host("s h/op")
        for host in (broker, shop):
            connection = clients(host.url, credentials=pika.PlainCredentials("till", "5"))
            connection.channel().queue_declare("q")
            assert [each.user for each in host.connections] == ["till"]
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            connect(broker.url, credentials=pika.PlainCredentials("till", "6"))


def test_no_guest_beside_users() -> None:
    refused = pytest.raises(pika.exceptions.ProbableAuthenticationError)
    with leveret.Broker(users={"shop": "secret"}) as broker, refused:
        connect(broker.url, credentials=pika.PlainCredentials("guest", "guest"))


DEFINITIONS: dict[str, Any] = {
    "vhosts": [{"name": "/"}, {"name": "other"}],
    "queues": [
        {"name": "orders", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {"x-max-length": 5}},
        {"name": "elsewhere", "vhost": "other", "durable": True, "auto_delete": False, "arguments": {}},
    ],
    "exchanges": [{"name": "shop", "vhost": "/", "type": "topic", "durable": True, "arguments": {}}],
    "bindings": [
        {
            "source": "shop",
            "vhost": "/",
            "destination": "orders",
            "destination_type": "queue",
            "routing_key": "order.*",
            "arguments": {},
        }
    ],
}


@pytest.mark.parametrize("kind", [Path, str, dict])
def test_definitions(tmp_path: Path, kind: Callable[[Any], Any]) -> None:
    path = tmp_path / "definitions.json"
    path.write_text(json.dumps(DEFINITIONS))
    with leveret.Broker(definitions=kind(DEFINITIONS if kind is dict else path)) as broker:
        assert [queue.name for queue in broker.queues] == ["orders"]
        assert broker.queue("orders").arguments == {"x-max-length": 5}
        assert broker.exchanges == ["shop"]
        assert broker.publish("1", "order.new", "shop").queues == ("orders",)
        assert [queue.name for queue in broker.virtual_host("other").queues] == ["elsewhere"]
        send_and_get(broker.url)
        send_and_get(broker.virtual_host("other").url)
        broker.restart(keep_data=False)
        assert [queue.name for queue in broker.queues] == ["orders"]


def test_definitions_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"nofile\.json"):
        leveret.Broker(definitions=tmp_path / "nofile.json").start()
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(StartError, match=r"broken\.json"):
        leveret.Broker(definitions=broken).start()
    for content in ({"queues": "orders"}, {"queues": [5]}, {"queues": [{"name": "q", "vhost": "nowhere"}]}):
        before = threads()
        with pytest.raises(StartError, match="queues"):
            leveret.Broker(definitions=content).start()
        assert new_threads(before) == set()


def test_definitions_without_a_virtual_host() -> None:
    # define() takes them.
    with leveret.Broker(definitions={"queues": [{"name": "orders", "durable": True}]}) as broker:
        assert broker.queue("orders").exists


def test_definitions_of_another_virtual_host_only() -> None:
    content = {"vhosts": [{"name": "shop"}], "queues": [{"name": "q", "vhost": "shop", "durable": True}]}
    with leveret.Broker(definitions=content) as broker:
        assert broker.virtual_host("shop").queue("q").exists
        assert broker.queues == []
        send_and_get(broker.url)


def test_data_dir(tmp_path: Path) -> None:
    count = 3000
    with leveret.Broker(data_dir=tmp_path / "data") as broker:
        broker.declare_queue("q")
        broker.declare_queue("passing", durable=False)
        connection = connect(broker.url)
        channel = connection.channel()
        for number in range(count):
            channel.basic_publish("", "q", str(number).encode(), pika.BasicProperties(delivery_mode=2))
        channel.basic_publish("", "q", b"transient")
        channel.basic_publish("", "passing", b"x", pika.BasicProperties(delivery_mode=2))
        broker.wait_for("q", count + 1)
        connection.close()
    with leveret.Broker(data_dir=tmp_path / "data") as broker:
        assert [queue.name for queue in broker.queues] == ["q"]
        assert broker.queue("q").ready == count
        assert [message.text for message in broker.queue("q").messages] == [str(number) for number in range(count)]
        assert broker.queue("q").ready == count
        assert broker.queue("q").messages[-1].delivery_mode == 2


def test_data_dir_in_use(tmp_path: Path) -> None:
    before = threads()
    with leveret.Broker(data_dir=tmp_path) as broker:
        with pytest.raises(StoreError, match="in use"):
            leveret.Broker(data_dir=tmp_path).start()
        send_and_get(broker.url)
    with leveret.Broker(data_dir=tmp_path):
        pass
    assert new_threads(before) == set()


def test_data_dir_is_free_after_a_start_that_failed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(StartError):
        leveret.Broker(data_dir=tmp_path, port=other.getsockname()[1]).start()
    with leveret.Broker(data_dir=tmp_path) as broker:
        send_and_get(broker.url)


def test_tls() -> None:
    broker = leveret.Broker(tls=True)
    for _ in range(2):
        with broker:
            assert broker.ca_file is not None
            context = ssl.create_default_context(cafile=str(broker.ca_file))
            assert broker.tls_url.startswith("amqps://guest:guest@127.0.0.1:")
            send_and_get(broker.tls_url, ssl_options=pika.SSLOptions(context, "127.0.0.1"))
            send_and_get(broker.url)
            broker.restart()
            send_and_get(broker.tls_url, ssl_options=pika.SSLOptions(context, "localhost"))
            file = broker.ca_file
        assert not file.exists()


def test_tls_with_aio_pika(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        async with leveret.AsyncBroker(tls=True) as broker:
            context = ssl.create_default_context(cafile=str(broker.ca_file))
            async with await aio_pika.connect(broker.tls_url, ssl_context=context) as connection:
                channel = await connection.channel()
                await channel.declare_queue("q")
                await channel.default_exchange.publish(aio_pika.Message(b"x"), "q")
            assert [message.body for message in await broker.wait_for("q")] == [b"x"]

    run(scenario, make_loop)


def test_the_seed_decides_about_names() -> None:
    def names(seed: int) -> list[str]:
        with leveret.Broker(seed=seed) as broker:
            connection = connect(broker.url)
            channel = connection.channel()
            found = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
            connection.close()
            return found

    assert names(1) == names(1)
    assert names(1) != names(2)


# -- virtual hosts


@pytest.mark.parametrize("name", ["v", "with space", "a/b", "100%", "größe", "?#&"])
def test_virtual_host(broker: leveret.Broker, clients: Connect, name: str) -> None:
    host = broker.virtual_host(name)
    assert host.name == name
    send_and_get(host.url)
    host.declare_queue("q")
    host.publish("x", "q")
    assert broker.queues == []
    assert broker.published() == []
    again = broker.virtual_host(name)
    assert [queue.ready for queue in again.queues] == [1]
    connection = clients(host.url)
    assert len(host.connections) == 1
    assert broker.connections == []
    broker.delete_virtual_host(name)
    assert isinstance(ending(connection), pika.exceptions.AMQPConnectionError)
    with pytest.raises(LookupError, match="no longer exists"):
        host.publish("x", "q")
    broker.delete_virtual_host(name)
    assert broker.virtual_host(name).queues == []
    assert broker.virtual_host(name).published() == []


def test_async_virtual_host_of_a_broker_in_a_thread(broker: leveret.Broker, make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        host = broker.async_virtual_host("v")
        host.declare_queue("q")
        wait = asyncio.create_task(host.wait_for("q", 2))
        broker.virtual_host("v").publish("1", "q")
        host.publish("2", "q")
        assert [message.text for message in await wait] == ["1", "2"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(host.wait_for("none", timeout=20), 0.05)
        await host.wait_until_idle()

    run(scenario, make_loop)


# -- nothing is left


def test_many_at_once() -> None:
    with ExitStack() as stack:
        brokers = [stack.enter_context(leveret.Broker()) for _ in range(20)]
        assert len({broker.port for broker in brokers}) == 20
        for number, broker in enumerate(brokers):
            broker.declare_queue("q")
            connection = connect(broker.url)
            connection.channel().basic_publish("", "q", str(number).encode())
            connection.close()
        for number, broker in enumerate(brokers):
            assert [message.text for message in broker.wait_for("q")] == [str(number)]


def test_nothing_is_left_of_200() -> None:
    with leveret.Broker():
        pass  # what is made once
    threads_before, descriptors_before = threads(), descriptors()
    for _ in range(200):
        with leveret.Broker() as broker:
            client = raw(broker.host, broker.port)
        client.link.close()
    assert new_threads(threads_before) == set()
    assert descriptors() == descriptors_before


def test_nothing_is_left_of_one_that_did_a_lot(tmp_path: Path) -> None:
    def live() -> None:
        with leveret.Broker(tls=True, data_dir=tmp_path / "data") as broker:
            broker.reply_to("rpc", lambda message: message.body)
            broker.publish("x", "rpc", reply_to="nobody")
            broker.wait_for_published(2)
            broker.faults.refuse_connections().end()
            broker.faults.freeze()
            broker.faults.hold_confirms()
            broker.clock.auto()
            with pytest.raises(TimeoutError):
                broker.wait_for("none", timeout=0.01)
            broker.restart(clean=False)
            broker.faults.refuse_connections()

    live()
    threads_before, descriptors_before = threads(), descriptors()
    for _ in range(5):
        live()
    assert new_threads(threads_before) == set()
    assert descriptors() == descriptors_before


def test_nothing_is_left_of_200_in_an_event_loop(make_loop: MakeLoop) -> None:
    async def live() -> None:
        async with leveret.AsyncBroker() as broker:
            broker.reply_to("rpc", lambda message: message.body)
            broker.clock.auto()
            broker.publish("x", "rpc", reply_to="nobody")
            await broker.wait_for_published(2)

    async def scenario() -> None:
        await live()
        threads_before, descriptors_before, tasks = threads(), descriptors(), asyncio.all_tasks()
        for _ in range(200):
            await live()
        assert asyncio.all_tasks() == tasks
        assert new_threads(threads_before) == set()
        assert descriptors() == descriptors_before

    run(scenario, make_loop)


def test_an_async_broker_that_has_just_listened_again_stops(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        async with leveret.AsyncBroker() as broker:
            broker.faults.refuse_connections().end()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not is_listening(broker.port)

    run(scenario, make_loop)


def test_tasks_of_others_are_left_alone(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        mine = asyncio.create_task(asyncio.sleep(60))
        async with leveret.AsyncBroker():
            pass
        assert not mine.done()
        mine.cancel()

    run(scenario, make_loop)


def test_async_broker_with_aio_pika(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        async with leveret.AsyncBroker() as broker, await aio_pika.connect(broker.url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("q")
            await channel.default_exchange.publish(aio_pika.Message(b"x"), "q")
            [message] = await broker.wait_for("q")
            assert message.body == b"x"
            got = await queue.get(timeout=PATIENCE_S)
            assert broker.queue("q").unacked == 1
            await got.ack()
            await broker.wait_until_idle()
            assert broker.queue("q").unacked == 0
            await broker.restart()
        assert not is_listening(broker.port)

    run(scenario, make_loop)


def test_two_async_brokers_in_a_loop(make_loop: MakeLoop) -> None:
    async def use(name: str) -> None:
        async with leveret.AsyncBroker() as broker, await aio_pika.connect(broker.url) as connection:
            channel = await connection.channel()
            await channel.declare_queue(name)
            await channel.default_exchange.publish(aio_pika.Message(name.encode()), name)
            assert [message.text for message in await broker.wait_for(name)] == [name]
            assert [queue.name for queue in broker.queues] == [name]

    async def scenario() -> None:
        await asyncio.gather(*(use(f"q{number}") for number in range(5)))

    run(scenario, make_loop)


def test_messages_that_are_freed_deep_down() -> None:
    script = """
from leveret.core.message.message import Address, Message

for depth in range(100):
    deep = Message(Address("", "q", b""), bytes(30), False)
    for _ in range(depth):
        deep = [deep]
    del deep
"""
    environment = {**os.environ, "PYTHONMALLOC": "debug"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, env=environment)
    assert done.returncode == 0


# -- what it costs who does not use it


def modules_of(script: str) -> set[str]:
    """What a process has imported after this."""
    script = f"import sys\nbefore = set(sys.modules)\n{script}\nprint(*sorted(set(sys.modules) - before), sep='\\n')"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSTARTUP"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=True)
    return set(done.stdout.split())


def test_import_of_the_package_alone() -> None:
    found = modules_of("import leveret; assert leveret.__version__")
    assert "asyncio" not in found
    assert {name for name in found if name.startswith("leveret.")} == set()


def test_the_names_are_there() -> None:
    found = modules_of("from leveret import AsyncBroker, Broker")
    assert "leveret.testing.broker" in found
    assert "leveret.store.chunk_log" not in found  # which only a data directory needs
    with pytest.raises(AttributeError, match="no attribute 'Borker'"):
        _ = leveret.Borker  # type: ignore[attr-defined]


def test_the_size_of_messages() -> None:
    with leveret.Broker(max_message_size=3) as broker:
        channel = connect(broker.url).channel()
        channel.queue_declare("q")
        channel.basic_publish("", "q", b"123")
        broker.wait_for("q")
        channel.basic_publish("", "q", b"1234")
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="larger than configured max size 3"):
            channel.queue_declare("q", passive=True)
    with pytest.raises(StartError, match="max-message-size"):
        leveret.Broker(max_message_size=0).start()
