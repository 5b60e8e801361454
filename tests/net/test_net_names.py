"""Who is named, when, and how often: without sockets, by the events that libzmq tells."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest
import zmq

from zmqbus.keys import Keys, MeshKey
from zmqbus.net.attempts import AGAIN_SECS, NEXT_KEY_SECS, Attempts, Said
from zmqbus.net.curve import credentials
from zmqbus.net.names import AGAIN_SECS as KEPT_AWAY_SECS
from zmqbus.net.names import DOUBT_SECS, NAMES_PER_SEC, Names
from zmqbus.net.visitors import SILENT_SECS, UNKNOWN, Stranger, Visitors, Why, host_of, zap_host

AUTH, PROTOCOL = zmq.Event.HANDSHAKE_FAILED_AUTH, zmq.Event.HANDSHAKE_FAILED_PROTOCOL
HUNG_UP = zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
MISMATCH = zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
CRYPTO = zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC


class Room:
    """Visitors of a real listening socket, so that descriptors have addresses."""

    def __init__(self, *, keyed: bool = True, limit: int = 100) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.visitors = Visitors(keyed=keyed, limit=limit)
        self.visitors.port = self.server.getsockname()[1]
        self._open: list[socket.socket] = [self.server]

    def come(self, now: float = 0.0) -> tuple[int, str, socket.socket]:
        """Somebody connects; returns its descriptor here, its address, and its end."""
        client = socket.create_connection(self.server.getsockname())
        connection, address = self.server.accept()
        self._open += client, connection
        self.visitors.note(zmq.Event.ACCEPTED, connection.fileno(), now)
        return connection.fileno(), f"127.0.0.1:{address[1]}", client

    def fail(self, fd: int, kind: int | None, value: int = 0) -> tuple[Stranger, bool] | None:
        """Its handshake fails, and it is cut."""
        if kind is not None:
            assert self.visitors.note(kind, value, 0.0) is None
        return self.visitors.note(zmq.Event.DISCONNECTED, fd, 0.0)

    def close(self) -> None:
        """Close everything."""
        for each in self._open:
            each.close()


@pytest.fixture
def room() -> Iterator[Room]:
    """A socket with a key."""
    room = Room()
    yield room
    room.close()


@pytest.fixture
def plain() -> Iterator[Room]:
    """A socket without one."""
    room = Room(keyed=False)
    yield room
    room.close()


@pytest.mark.parametrize(
    ("kind", "value", "why", "sure"),
    [
        (AUTH, 400, Why.NOT_ADMITTED, True),
        (PROTOCOL, MISMATCH, Why.NO_KEY, True),
        (PROTOCOL, CRYPTO, Why.OTHER_KEY, False),
        (PROTOCOL, 1, Why.FOREIGN, False),
        (HUNG_UP, errno.EPIPE, Why.HUNG_UP, False),
        (None, 0, Why.FOREIGN, False),
    ],
)
def test_stranger_is_told_by_its_failure(
    kind: int | None, value: int, why: Why, sure: bool, room: Room
) -> None:
    """Each failure is that of the connection that ends next, with its address."""
    room.come()
    fd, address, _ = room.come()
    assert room.fail(fd, kind, value) == (Stranger(address, why), sure)
    assert room.visitors.take_failed() == 1
    assert len(room.visitors.open_fds) == 1


@pytest.mark.parametrize(
    ("kind", "value", "sign"),
    [
        (PROTOCOL, MISMATCH, (Why.NEEDS_KEY, True)),
        (HUNG_UP, errno.EPIPE, (Why.HUNG_UP_ON_PLAIN, False)),
        (HUNG_UP, errno.ECONNRESET, None),
        (PROTOCOL, 1, None),
        (None, 0, None),
    ],
)
def test_without_a_key_only_who_has_one_is_named(
    kind: int | None, value: int, sign: tuple[Why, bool] | None, plain: Room
) -> None:
    """Scanners and browsers are counted there, and not worth a word."""
    fd, address, _ = plain.come()
    expected = sign and (Stranger(address, sign[0]), sign[1])
    assert plain.fail(fd, kind, value) == expected


def test_member_that_leaves_is_no_stranger(room: Room) -> None:
    """Who came in before it left is named by nothing."""
    fd, _, _ = room.come()
    room.visitors.note(zmq.Event.HANDSHAKE_SUCCEEDED, 0, 0.0)
    assert room.fail(fd, None) is None
    assert room.fail(fd, None) is None, "an unknown descriptor"
    assert room.visitors.take_failed() == 0


def test_who_says_nothing_is_told_after_a_while(room: Room) -> None:
    """Once, if it is still there, and nobody has come in since."""
    _, address, _ = room.come()
    gone, _, _ = room.come()
    room.fail(gone, HUNG_UP)
    assert list(room.visitors.silent(SILENT_SECS - 0.01)) == []
    assert list(room.visitors.silent(SILENT_SECS)) == [Stranger(address, Why.SILENT)]
    assert list(room.visitors.silent(SILENT_SECS)) == []


def test_crowd_from_one_address_is_cut() -> None:
    """One host takes half of the room at most."""
    room = Room(limit=4)
    clients = [room.come()[2] for _ in range(3)]
    clients[2].settimeout(10)
    assert clients[2].recv(1) == b""
    clients[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        clients[0].recv(1)
    assert room.visitors.take_failed() == 1
    room.close()


def test_descriptor_that_is_something_else_by_now_is_left_alone(room: Room) -> None:
    """Libzmq closes descriptors, and the system gives their numbers to others."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        stranger, mine = socket.create_connection(other.getsockname()), other.accept()[0]
        room.visitors.note(zmq.Event.ACCEPTED, mine.fileno(), 0.0)
        room.visitors.hang_up(mine.fileno())
        stranger.sendall(b"still there")
        assert mine.recv(11) == b"still there"
        sign = room.fail(mine.fileno(), AUTH)
        assert sign == (Stranger(UNKNOWN, Why.NOT_ADMITTED), True)
        stranger.close()
        mine.close()
    room.visitors.note(zmq.Event.ACCEPTED, 10_000, 0.0)
    with open("/dev/null") as file:
        room.visitors.hang_up(file.fileno())


def test_hosts_of_both_ways_to_write_them_agree() -> None:
    """ZAP and the system write one address differently."""
    assert host_of("[::1]:7000") == zap_host("::1")
    assert host_of("10.0.0.1:7000") == zap_host("10.0.0.1")
    assert host_of("ipc:///run/n") == zap_host("localhost:0:0:4711")


# -- names


def stranger(why: Why, port: int = 1, host: str = "10.0.0.1") -> Stranger:
    """Somebody."""
    return Stranger(f"{host}:{port}", why)


def test_sure_stranger_is_named_at_once_and_once() -> None:
    """Until it has kept away for a minute; another reason is another name."""
    names = Names()
    first = stranger(Why.NO_KEY)
    assert names.suspect(first, True, 0.0) == [first]
    for now in (1.0, 50.0, 100.0):
        assert names.suspect(stranger(Why.NO_KEY, 2), True, now) == []
    other = stranger(Why.NOT_ADMITTED)
    assert names.suspect(other, True, 100.0) == [other]
    later = 100.0 + KEPT_AWAY_SECS
    assert names.suspect(first, True, later) == [first]


def test_doubtful_stranger_is_named_when_no_explanation_came() -> None:
    """A member that tries its second key comes in right after the first has failed."""
    names, doubtful = Names(), stranger(Why.OTHER_KEY)
    names.suspect(doubtful, False, 0.0)
    names.welcome("10.0.0.1")
    assert names.due(9.0) == []
    names.suspect(doubtful, False, 10.0)
    names.welcome("10.0.0.2")
    assert names.due(10.0 + DOUBT_SECS / 2) == []
    assert names.due(10.0 + DOUBT_SECS) == [doubtful]
    names.suspect(stranger(Why.SILENT), False, 20.0)
    names.welcome(None)
    assert names.due(30.0) == []


def test_surer_name_explains_the_vaguer_one() -> None:
    """Who hung up has spoken plain ZeroMQ before; who had gone is the one that came again."""
    names = Names()
    names.suspect(stranger(Why.HUNG_UP), False, 0.0)
    names.suspect(Stranger(UNKNOWN, Why.NO_KEY), True, 0.0)
    sure = stranger(Why.NO_KEY)
    assert names.suspect(sure, True, 0.5) == [sure]
    assert names.due(5.0) == []
    names.suspect(Stranger(UNKNOWN, Why.NOT_ADMITTED), True, 5.0)
    assert names.due(7.0) == [Stranger(UNKNOWN, Why.NOT_ADMITTED)]


def test_flood_of_strangers_is_named_in_part_and_remembered_in_part() -> None:
    """The log gets a few a second, memory stays, and the budget comes back."""
    names = Names()
    named = [
        name
        for i in range(2_000)
        for name in names.suspect(
            stranger(Why.NO_KEY, host=f"10.0.{i // 250}.{i % 250}"), True, 1.0
        )
    ]
    assert len(named) == NAMES_PER_SEC
    for i in range(2_000):
        names.suspect(stranger(Why.SILENT, host=f"b{i}"), False, 1.0)
    assert len(names.due(5.0)) == NAMES_PER_SEC
    assert len(names._named) + len(names._doubts) < 600


# -- the other side: attempts


class Texts(list[str]):
    """What was said."""

    def __call__(self, text: str, endpoint: str | None) -> None:
        """Note it."""
        self.append(text)


def test_address_is_tried_with_each_key_in_turn() -> None:
    """The next key at once; a pause when all have been tried; named after two rounds, once."""
    keys = [MeshKey.new() for _ in range(2)]
    own = credentials(Keys(keys[0], (keys[1],)))
    texts = Texts()
    attempts = Attempts("tcp://a:1", own, Said(texts))
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        shown = []
        for pause in (NEXT_KEY_SECS, AGAIN_SECS / 2, NEXT_KEY_SECS, AGAIN_SECS / 2):
            attempts.present(socket)
            shown.append(attempts.shown)
            assert texts == []
            assert attempts.failed(HUNG_UP, 0) == pause
        assert shown == [*own.servers, *own.servers]
        assert len(texts) == 1
        assert attempts.failed(HUNG_UP, 0) == NEXT_KEY_SECS
        assert len(texts) == 1
        attempts.present(socket)
        attempts.succeeded()
        assert attempts.failed(HUNG_UP, 0) == NEXT_KEY_SECS, "the other key, without a pause"
        assert not attempts.is_outdated
        attempts.renew(credentials(Keys(MeshKey.new())))
        assert attempts.is_outdated
        attempts.present(socket)
        assert not attempts.is_outdated
        assert attempts.failed(HUNG_UP, 0) is None, "with one key libzmq tries again by itself"


def test_what_is_wrong_is_said_again_after_it_was_right() -> None:
    """And as long as it stays wrong only once, for as many addresses as may be dialled."""
    texts = Texts()
    said = Said(texts)
    attempts = Attempts("tcp://a:1", None, said)
    assert attempts.failed(PROTOCOL, MISMATCH) == AGAIN_SECS
    assert attempts.failed(PROTOCOL, MISMATCH) == AGAIN_SECS
    assert attempts.failed(HUNG_UP, 0) is None
    assert texts == [
        "tcp://a:1 needs a key, and this node has none (give it key=, or ZMQBUS_KEY_FILE)"
    ]
    attempts.succeeded()
    attempts.failed(AUTH, 400)
    assert texts[1:] == ["tcp://a:1 refuses this node: its key is not admitted there"]
    assert attempts.failed(PROTOCOL, 1) == AGAIN_SECS
    for port in range(5_000):
        said.say(f"tcp://b:{port}", "is odd")
    assert len(said._said) <= 1_024
