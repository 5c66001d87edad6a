"""Users, virtual hosts, permissions and limits come back from a data directory as they were."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from leveret.core.access.user import Credential
from leveret.core.broker import Broker
from leveret.core.errors.administration import AdministrationError
from leveret.core.turn.clock import Clock
from leveret.store.chunk_log import ChunkLog
from leveret.store.rescue.salvage import open_database

NAMES = st.sampled_from(["a", "b", "ü/['"])
PATTERNS = st.sampled_from(["", ".*", "^ä$", "("])
LIMITED = st.sampled_from(["max-connections", "max-channels", "max-queues", "max-bindings"])
LIMITS = st.dictionaries(LIMITED, st.integers(-1, 2**40))
TAGS = st.lists(st.sampled_from(["administrator", "tag"]), unique=True).map(tuple)

VERBS = st.one_of(
    st.tuples(st.just("put"), NAMES, NAMES, TAGS),
    st.tuples(st.just("set_tags"), NAMES, TAGS),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("set_permission"), NAMES, NAMES, PATTERNS, PATTERNS, PATTERNS),
    st.tuples(st.just("clear_permission"), NAMES, NAMES),
    st.tuples(st.just("set_topic_permission"), NAMES, NAMES, NAMES, PATTERNS, PATTERNS),
    st.tuples(st.just("clear_topic_permission"), NAMES, NAMES, st.none() | NAMES),
    st.tuples(st.just("set_limits"), NAMES, LIMITS),
    st.tuples(st.just("clear_limits"), NAMES, st.none() | st.just("max-connections")),
    st.tuples(st.just("add_vhost"), NAMES, st.none() | NAMES, st.none() | TAGS, st.none() | st.just("quorum")),
    st.tuples(st.just("protect_vhost"), NAMES, st.booleans()),
    st.tuples(st.just("delete_vhost"), NAMES),
    st.tuples(st.just("set_vhost_limits"), NAMES, LIMITS),
    st.tuples(st.just("clear_vhost_limits"), NAMES, st.none() | st.just("max-queues")),
)


def start(directory: Path) -> tuple[Broker, ChunkLog]:
    """A broker on a data directory."""
    log = ChunkLog(open_database(directory), lambda: None)
    broker = Broker(log, log, Clock(), seed=1, node="test")
    log.listener = broker.news
    broker.recover()
    return broker, log


def perform(broker: Broker, verb: tuple[object, ...]) -> None:
    """Do it, or be refused."""
    name, *arguments = verb
    if name == "put":
        arguments = [arguments[0], Credential("argon2", str(arguments[1])), arguments[2]]
    target: object = broker if hasattr(broker, str(name)) else broker.users
    try:
        getattr(target, str(name))(*arguments)
    except AdministrationError:
        return
    if name == "add_vhost":  # with something in it
        broker.vhost(str(arguments[0])).declare_exchange("kept", "fanout", True, False, False, {})


def state(broker: Broker) -> object:
    """Everything that has to come back."""
    vhosts = {
        vhost.name: (
            vhost.description,
            vhost.tags,
            vhost.default_queue_type,
            vhost.protected,
            vhost.limits,
            sorted(vhost.exchanges),
        )
        for vhost in broker.vhosts.values()
    }
    users = {
        user.name: (
            user.credential.algorithm,
            user.credential.hash,
            user.tags,
            {name: (each.configure, each.write, each.read) for name, each in user.permissions.items()},
            {
                vhost: {name: (each.write, each.read) for name, each in permissions.items()}
                for vhost, permissions in user.topic_permissions.items()
            },
            user.limits,
        )
        for user in broker.users
    }
    return vhosts, users


@given(st.lists(VERBS, min_size=5, max_size=40))
def test_everything_comes_back(verbs: list[tuple[object, ...]]) -> None:
    with TemporaryDirectory() as directory:
        broker, log = start(Path(directory))
        broker.make_defaults("guest", Credential("", ""))
        for verb in verbs:
            perform(broker, verb)
            assert all(vhost in broker.vhosts for user in broker.users for vhost in user.permissions)
        log.close()
        again, log = start(Path(directory))
        assert state(again) == state(broker)
        log.close()


def test_defaults_are_made_once(tmp_path: Path) -> None:
    broker, log = start(tmp_path)
    assert broker.is_new
    broker.make_defaults("guest", Credential("x", "y"))
    assert broker.vhost("/").description == "Default virtual host"
    permission = broker.users.user("guest").permissions["/"]
    assert (permission.configure, permission.write, permission.read) == (".*", ".*", ".*")
    broker.users.delete("guest")
    broker.delete_vhost("/")
    log.close()
    broker, log = start(tmp_path)
    assert not broker.is_new
    assert (list(broker.users), broker.vhosts) == ([], {})
    log.close()


def test_a_data_directory_that_lost_its_users_gets_no_default_user(tmp_path: Path) -> None:
    broker, log = start(tmp_path)
    broker.vhost("/").make_queue("kept", True, 0, False, {})
    log.close()
    broker, log = start(tmp_path)
    assert not broker.is_new
    assert [text.partition(";")[0] for text in broker.explanations] == ["definitions are lost"]
    assert set(broker.vhost("/").queues) == {"kept"}
    log.close()
