"""`ZmqBus`: arguments, life, and what its users may count on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pipecat.bus import BusMessage, WorkerBus
from pipecat.bus.messages import BusWorkerLocalErrorMessage
from pipecat.bus.serializers import JSONMessageSerializer
from support.buses import Inbox, Mesh, data, open_mesh, started, task_manager, until, urgent
from support.journal import TIMEOUT_SECS
from support.proxy import own_address

from zmqbus import MeshConfig, MeshNode, ZmqBus
from zmqbus.errors import BindError, BusStateError, ConfigError, InsecureBindError
from zmqbus.views import BusStats


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A meeting place of this test's own."""
    monkeypatch.setenv("ZMQBUS_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """Buses that are stopped at the end, and leave nothing."""
    async with open_mesh() as opened:
        yield opened


def files(place: Path) -> list[Path]:
    """All files below a directory."""
    return [path for path in place.rglob("*") if path.is_file()]


# -- arguments


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"discovery": ("carrier pigeon",)}, "'carrier pigeon': no way of discovery; use any of"),
        ({"discovery": "pigeon"}, "'pigeon': no way of discovery"),
        ({"bind": "tcp://127.0.0.1"}, "'tcp://127.0.0.1': has no port; write tcp://host:port"),
        ({"bind": ""}, "bind='': "),
        ({"bind": "127.0.0.1:7400"}, "bind='127.0.0.1:7400': "),
        ({"channel": ""}, "channel='': 0 bytes long as UTF-8; use a name of 1 to 255 bytes"),
        ({"channel": "x" * 256}, "256 bytes long"),
        ({"channel": 5}, "channel=5: a int, not a str"),
        ({"peers": ["tcp://127.0.0.1"]}, "peers='tcp://127.0.0.1': has no port"),
        ({"peers": ["tcp://*:7400"]}, "no address that can be dialled"),
        ({"peers": "tcp://127.0.0.1:7400"}, "a str, not a list of them; write it in brackets"),
        ({"peers": 7400}, "peers=7400: a int, not a list of them; write it in brackets"),
        ({"peers": b"tcp://h:1"}, "peers=b'tcp://h:1': a bytes, not a list of them"),
        ({"discovery": False}, "discovery=False: no way of discovery; use any of"),
        ({"discovery": b"local"}, "discovery=b'local': no way of discovery; use any of"),
        ({"advertise": "box:0"}, "advertise='box:0': "),
        ({"advertise": 0}, "advertise=0: a int, not a str; write host"),
    ],
)
def test_argument_that_cannot_be_used_is_refused_at_once(
    options: dict[str, Any], reason: str
) -> None:
    """The error is raised by the constructor, with the value, the reason and the way out."""
    with pytest.raises(ConfigError) as caught:
        ZmqBus(**options)
    assert reason in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("bind", ["tcp://0.0.0.0:*", "tcp://*:7400", "tcp://192.168.1.5:7400"])
def test_bind_that_others_reach_needs_a_word(bind: str) -> None:
    """Without a key only loopback and ipc are bound, unless the user says so (R29)."""
    with pytest.raises(InsecureBindError) as caught:
        ZmqBus(bind=bind)
    assert bind in str(caught.value)
    assert "insecure=True" in caught.value.remedy
    ZmqBus(bind=bind, insecure=True)


@pytest.mark.parametrize(
    "option", ["bind", "advertise", "peers", "discovery", "insecure", "config"]
)
def test_transport_argument_beside_a_shared_node_is_refused(option: str) -> None:
    """It could not be obeyed: the node has its own; even one that says the default."""
    values: dict[str, Any] = {"peers": (), "discovery": (), "insecure": False}
    options = {option: values.get(option, MeshConfig() if option == "config" else "ipc:///x")}
    with pytest.raises(ConfigError, match="a shared node is given too; give it to the node"):
        ZmqBus(node=MeshNode(), **options)


@pytest.mark.parametrize(
    ("variable", "value", "argument", "used"),
    [
        ("CHANNEL", "", {"channel": "x"}, {}),
        ("BIND", "tcp://127.0.0.1", {"bind": "tcp://127.0.0.1:*"}, {"node": None}),
        ("ADVERTISE", "box:0", {"advertise": "box:1"}, {"node": None}),
        ("PEERS", "nonsense", {"peers": []}, {"node": None}),
        ("DISCOVERY", "pigeon", {"discovery": []}, {"node": None}),
        ("INSECURE", "maybe", {"insecure": False}, {"node": None}),
        ("OBSERVE_ALL", "maybe", {"observe_all": False}, {}),
    ],
)
def test_argument_wins_over_its_variable(
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    argument: dict[str, Any],
    used: dict[str, None],
) -> None:
    """Every variable is read, which one that cannot be used shows, and no argument needs it."""
    monkeypatch.setenv(f"ZMQBUS_{variable}", value)
    with pytest.raises(ConfigError):
        ZmqBus()
    ZmqBus(**argument)
    if used:
        monkeypatch.delenv(f"ZMQBUS_{variable}")
        node = MeshNode()
        monkeypatch.setenv(f"ZMQBUS_{variable}", value)
        ZmqBus(node=node)  # what the node has was settled when it was made


async def test_bus_is_told_everything_by_the_environment(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container needs no code: channel, bind, advertise, seeds and the rest are variables."""
    monkeypatch.setenv("ZMQBUS_CHANNEL", mesh.channel)
    monkeypatch.setenv("ZMQBUS_DISCOVERY", "")
    monkeypatch.setenv("ZMQBUS_OBSERVE_ALL", "on")
    monkeypatch.setenv("ZMQBUS_INSECURE", "on")
    monkeypatch.setenv("ZMQBUS_BIND", "tcp://127.0.0.1:*")
    a = await mesh.make(channel=None, discovery=None, peers=None)
    monkeypatch.setenv("ZMQBUS_PEERS", a.endpoint)
    monkeypatch.setenv("ZMQBUS_ADVERTISE", "localhost")
    inbox = Inbox("b")
    b = await mesh.make(inbox, channel=None, discovery=None, peers=None)
    await mesh.meet(a, b)
    assert a.channel == mesh.channel
    await a.send(data(1, target="elsewhere"))
    await inbox.wait()
    await b.send(data(2, target="a"))


async def test_processes_of_one_host_find_each_other_without_a_word(
    mesh: Mesh, place: Path
) -> None:
    """With nothing but the channel, two buses meet in the rendezvous directory, and clean it."""
    a = await mesh.make(discovery=None, peers=None)
    b = await mesh.make(discovery=("local",), peers=None)
    await mesh.meet(a, b)
    assert files(place)
    await a.stop()
    await b.stop()
    assert files(place) == []


# -- life


async def test_port_in_use_is_named_and_the_bus_starts_once_it_is_free(mesh: Mesh) -> None:
    """`start()` raises a BindError with the address; nothing is left, and it can be tried again."""
    host = own_address()
    with socket.create_server((host, 0)) as server:
        address = f"tcp://{host}:{server.getsockname()[1]}"
        bus = await mesh.make(Inbox("a"), bind=address, start=False)
        with pytest.raises(BindError, match=address) as caught:
            await bus.start()
        assert caught.value.remedy
        assert not started(bus)
        await bus.stop()
    await bus.start()
    assert bus.endpoint == address
    other = await mesh.make()
    await mesh.meet(bus, other)


async def test_rendezvous_that_cannot_be_used_is_a_failed_start_that_leaves_nothing(
    mesh: Mesh, place: Path
) -> None:
    """A file where the directory should be: an error that names it; then the bus can start."""
    (place / "zmqbus").write_text("in the way")
    bus = await mesh.make(Inbox("a"), discovery=("local",), start=False)
    for _ in range(2):
        with pytest.raises(ConfigError, match="ZMQBUS_RUNTIME_DIR"):
            await bus.start()
    with pytest.raises(BusStateError):
        bus.endpoint  # noqa: B018
    (place / "zmqbus").unlink()
    await bus.start()
    assert bus.endpoint


async def test_bus_that_is_not_started_says_so(mesh: Mesh) -> None:
    """It has no endpoint, and its views are empty; a stop does nothing."""
    bus = await mesh.make(start=False)
    await bus.stop()
    with pytest.raises(BusStateError, match=r"not started: call `start\(\)`"):
        bus.endpoint  # noqa: B018
    assert (bus.peers, bus.stats()) == ([], BusStats())


async def test_endpoint_of_a_bus_that_is_not_started_is_none_on_a_running_node(mesh: Mesh) -> None:
    """That another bus has started the node does not make this one reachable."""
    node = MeshNode(discovery=())
    await mesh.make(node=node)
    idle = await mesh.make(node=node, channel=mesh.channel + "2", start=False)
    with pytest.raises(BusStateError):
        idle.endpoint  # noqa: B018


async def test_starts_and_stops_at_once_wait_for_each_other(mesh: Mesh) -> None:
    """Whatever is called at once, the last word holds, and a started bus delivers."""
    inbox = Inbox("a")
    bus = await mesh.make(inbox, start=False)
    await asyncio.gather(bus.start(), bus.start())
    assert started(bus)
    await asyncio.gather(bus.stop(), bus.stop(), bus.start())
    assert started(bus)
    await bus.send(data(1))
    await inbox.wait()
    await asyncio.gather(bus.stop(), bus.stop())
    await asyncio.gather(bus.start(), bus.stop())
    assert not started(bus)
    await bus.stop()


@pytest.mark.parametrize("make", [data, urgent])
async def test_stop_from_a_handler_lets_it_go_on_and_ends_the_bus(mesh: Mesh, make: Any) -> None:
    """A handler of a data or a system message may stop its own bus; it can start again (R23)."""
    a, inbox, b, _ = await mesh.pair(discovery=("local",))
    returned = asyncio.Event()

    async def stop(_message: BusMessage) -> None:
        await a.stop()
        returned.set()

    inbox.on_message = stop
    await b.send(make(1, source="b"))
    await asyncio.wait_for(returned.wait(), TIMEOUT_SECS)
    inbox.on_message = lambda message: None
    await a.stop()
    assert not started(a)
    await a.start()
    await mesh.meet(a, b)
    await b.send(make(2, source="b"))
    await inbox.wait(2)


async def test_start_right_after_a_stop_from_a_handler_holds(mesh: Mesh) -> None:
    """The end of the old dispatch never takes that of the new life with it."""
    inbox = Inbox("a")
    a = await mesh.make(inbox)
    returned = asyncio.Event()

    async def stop(_message: BusMessage) -> None:
        await a.stop()
        returned.set()

    inbox.on_message = stop
    await a.send(data(1))
    await asyncio.wait_for(returned.wait(), TIMEOUT_SECS)
    inbox.on_message = lambda message: None
    await a.start()
    await a.send(data(2))
    await inbox.wait(2)
    assert inbox.texts == ["1", "2"]


async def test_stop_from_an_event_handler_ends_the_bus(mesh: Mesh) -> None:
    """`on_peer_joined` may stop the bus that tells it."""
    a = await mesh.make(Inbox("a"))
    stopped = asyncio.Event()

    async def on_peer_joined(bus: ZmqBus, _peer: object) -> None:
        await bus.stop()
        stopped.set()

    a.add_event_handler("on_peer_joined", on_peer_joined)
    await mesh.make(Inbox("b"))
    await asyncio.wait_for(stopped.wait(), TIMEOUT_SECS)
    assert not started(a)


async def test_messages_sent_just_before_a_stop_arrive(mesh: Mesh) -> None:
    """The last words of a runner come before its goodbye, on both planes (P18)."""
    a, _, b, inbox_b = await mesh.pair()
    before_goodbye = asyncio.get_running_loop().create_future()
    b.add_event_handler(
        "on_peer_left", lambda bus, *_: before_goodbye.set_result(bus.stats().received_msgs)
    )
    for number in range(300):
        await a.send(data(number))
    await a.send(urgent(1))
    await a.stop()
    await inbox_b.wait(301)
    assert inbox_b.texts == [str(n) for n in range(300)]
    assert await asyncio.wait_for(before_goodbye, TIMEOUT_SECS) == 301


async def test_restarted_bus_is_a_new_node_that_meets_everybody_again(mesh: Mesh) -> None:
    """The same object may live several times; counts begin anew (R1, R23)."""
    a, inbox_a, b, inbox_b = await mesh.pair()
    nodes = set()
    for life in range(3):
        await mesh.meet(a, b)
        nodes |= {peer.node for peer in a.peers if peer.state == "joined"}
        await b.send(data(life, source="b"))
        await inbox_a.wait(life + 1)
        assert b.stats().sent_msgs == 1
        await b.stop()
        await b.start()
    assert len(nodes) == 3
    assert inbox_a.texts == inbox_b.texts == ["0", "1", "2"]


def test_bus_made_outside_of_any_loop_lives_in_three_of_them() -> None:
    """The constructor touches no loop: three consecutive `asyncio.run` work (Z38)."""
    a, b = ZmqBus(channel="z38", discovery=()), None

    async def life() -> None:
        nonlocal b
        inbox = Inbox("b")
        await a.setup(task_manager())
        await asyncio.gather(a.start(), a.start())
        b = ZmqBus(channel="z38", discovery=(), peers=[a.endpoint])
        await b.setup(task_manager())
        await b.subscribe(inbox)
        await b.start()
        await a.wait_for_peers(1, timeout_secs=TIMEOUT_SECS)
        await a.send(data(1))
        await inbox.wait()
        await asyncio.gather(a.stop(), b.stop(), a.stop())

    for _ in range(3):
        asyncio.run(life())


# -- delivery


async def test_local_subscribers_get_the_very_object_and_nothing_leaves(mesh: Mesh) -> None:
    """With nobody elsewhere a message is not even encoded (promise 1)."""
    one, other = Inbox("one"), Inbox("other")
    bus = await mesh.make(one, other)
    message = data(1)
    message.unencodable = object()  # type: ignore[attr-defined]
    await bus.send(message)
    assert (await one.wait())[0] is message
    assert (await other.wait())[0] is message
    assert (bus.stats().sent_msgs, bus.stats().sent_bytes) == (0, 0)


async def test_message_before_start_waits_for_the_local_subscribers(mesh: Mesh) -> None:
    """`send()` before `start()` delivers here, once the bus runs."""
    inbox = Inbox("a")
    bus = await mesh.make(inbox, start=False)
    await bus.send(data(1))
    await bus.start()
    await inbox.wait()
    assert inbox.texts == ["1"]


async def test_sender_and_every_peer_get_each_message_once(mesh: Mesh) -> None:
    """With two peers as with none: no echo, no second copy (P11, P13)."""
    inboxes = [Inbox(name) for name in "abc"]
    buses = [await mesh.make(inbox) for inbox in inboxes]
    await mesh.meet(*buses)
    for number in range(100):
        await buses[0].send(data(number))
    for inbox in inboxes:
        await inbox.wait(100)
    for bus, inbox in zip(buses, inboxes, strict=True):
        await bus.send(data("last", source=inbox.name))
    for inbox in inboxes:
        await inbox.wait(103)
        assert inbox.texts[:100] == [str(n) for n in range(100)]
        assert len(inbox.messages) == 103
    assert [bus.stats().received_msgs for bus in buses] == [2, 102, 102]


async def test_local_message_never_leaves_the_process(mesh: Mesh) -> None:
    """A `BusLocalMessage` is for this bus alone, whatever its target (promise 7)."""
    a, inbox_a, _, inbox_b = await mesh.pair()
    await a.send(BusWorkerLocalErrorMessage(source="a", target="b", error="mine"))
    await a.send(data("after"))
    await inbox_a.wait(2)
    await inbox_b.wait()
    assert inbox_b.texts == ["after"]
    assert len(inbox_b.messages) == 1
    assert a.stats().sent_msgs == 1


async def test_targeted_message_goes_to_its_host_alone(mesh: Mesh) -> None:
    """Who does not host the target receives no byte of it (P14)."""
    inboxes = [Inbox(name) for name in "abc"]
    a, b, c = [await mesh.make(inbox) for inbox in inboxes]
    await mesh.meet(a, b, c)
    await a.send(data(1, target="b"))
    await a.send(urgent(2, target="b"))
    await inboxes[1].wait(2)
    await a.send(data("for all"))
    await inboxes[1].wait(3)
    await inboxes[2].wait()
    assert inboxes[2].texts == ["for all"]
    assert c.stats().received_msgs == 1
    assert b.stats().received_msgs == 3


async def test_local_target_stays_local(mesh: Mesh) -> None:
    """A message for a subscriber of this bus leaves only for those who observe everything."""
    a, inbox_a, _, _ = await mesh.pair()
    await a.send(data(1, target="a"))
    await inbox_a.wait()
    assert a.stats().sent_msgs == 0
    watching = Inbox("watching")
    observer = await mesh.make(watching, observe_all=True)
    await observer.wait_for_peers(2, timeout_secs=TIMEOUT_SECS)
    await a.wait_for_peers(2, timeout_secs=TIMEOUT_SECS)
    await a.send(data(2, target="a"))
    await a.send(data(3, target="b"))
    await watching.wait(2)
    assert watching.texts == ["2", "3"]
    assert a.stats().sent_msgs == 2


async def test_message_for_an_unknown_target_goes_to_everybody(mesh: Mesh) -> None:
    """A proxy may know the target."""
    inboxes = [Inbox(name) for name in "abc"]
    a, *others = [await mesh.make(inbox) for inbox in inboxes]
    await mesh.meet(a, *others)
    await a.send(data(1, target="nobody"))
    for inbox in inboxes:
        await inbox.wait()


async def test_who_subscribes_later_can_be_targeted_and_who_leaves_cannot(mesh: Mesh) -> None:
    """The routing table follows `subscribe` and `unsubscribe`."""
    inboxes = [Inbox(name) for name in "abc"]
    a, b, c = [await mesh.make(inbox) for inbox in inboxes]
    await mesh.meet(a, b, c)
    late = Inbox("late")
    await b.subscribe(late)
    await until(a, lambda: any("late" in peer.subscribers for peer in a.peers))
    await a.send(data(1, target="late"))
    await late.wait()
    await b.unsubscribe(late)
    await until(a, lambda: not any("late" in peer.subscribers for peer in a.peers))
    await a.send(data(2, target="late"))
    await inboxes[2].wait()
    assert inboxes[2].texts == ["2"]


async def test_subscriber_with_a_name_too_long_is_reached_by_broadcast(mesh: Mesh) -> None:
    """It cannot be announced, so what is for it goes to everybody; nothing fails (R25)."""
    long = Inbox("x" * 256)
    a, b = await mesh.make(Inbox("a")), await mesh.make(long)
    await mesh.meet(a, b)
    assert a.peers[0].subscribers == ()
    await a.send(data(1, target=long.name))
    await long.wait()


# -- waiting


async def test_waiting_for_peers_in_vain_tells_who_is_there(mesh: Mesh) -> None:
    """The TimeoutError names what is known, so that the reader sees what is missing."""
    a, _, b, _ = await mesh.pair()
    assert await a.wait_for_peers(0) == await a.wait_for_peers(1)
    with pytest.raises(
        TimeoutError, match=r"No 2 peers on channel .* within 0.01 s; peers: observer \("
    ):
        await a.wait_for_peers(2, timeout_secs=0.01)
    with pytest.raises(
        TimeoutError, match=r"No worker 'x' on channel .* within 0.01 s; .*workers: none"
    ):
        await b.wait_for_worker("x", timeout_secs=0.01)


async def test_waiting_may_begin_before_the_start(mesh: Mesh) -> None:
    """Whoever runs a runner in a task can wait at once; without a start the error says so."""
    bus = await mesh.make(start=False)
    with pytest.raises(TimeoutError, match=r"not within 0.01 s: run its runner"):
        await bus.wait_for_worker("x", timeout_secs=0.01)
    waiting = asyncio.create_task(bus.wait_for_peers(1, timeout_secs=TIMEOUT_SECS))
    await asyncio.sleep(0)
    await bus.start()
    await mesh.make()
    assert len(await waiting) == 1


async def test_stop_ends_all_waiting(mesh: Mesh) -> None:
    """Who waits without a limit is told that the bus was stopped."""
    bus = await mesh.make()
    waiting = [
        asyncio.create_task(bus.wait_for_peers(1)),
        asyncio.create_task(bus.wait_for_worker("x")),
    ]
    await asyncio.sleep(0)
    await bus.stop()
    for task in waiting:
        with pytest.raises(BusStateError, match="stopped while"):
            await task


# -- arguments of the wrong kind


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"chanel": "acme"}, "chanel='acme': ZmqBus takes no such argument; did you mean channel="),
        ({"key": "s3cret"}, "key='<hidden>': no key: it does not begin with zmqbusmesh_"),
        ({"keys": "s3cret"}, "keys=<hidden>: ZmqBus takes no such argument; did you mean key="),
        ({"redis": object}, "ZmqBus takes no such argument"),
        ({"insecure": "no"}, "insecure='no': a str, not a bool; give a bool"),
        ({"observe_all": 1}, "observe_all=1: a int, not a bool"),
        ({"node": 5}, "node=5: a int, not a MeshNode"),
        ({"config": {}}, "config={}: a dict, not a MeshConfig"),
        ({"serializer": "json"}, "serializer='json': a str, not a MessageSerializer"),
        ({"serializer": JSONMessageSerializer}, "not a MessageSerializer"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_argument_of_the_wrong_kind_is_refused(arguments: dict[str, Any], text: str) -> None:
    """Nothing is swallowed: a misspelt or misunderstood argument is said at once."""
    with pytest.raises(ConfigError) as caught:
        ZmqBus(**arguments)
    assert text in str(caught.value)


def test_arguments_of_pipecats_base_are_taken() -> None:
    """A name, say."""
    assert ZmqBus(name="mine").name == "mine"


# -- representation


async def test_repr_tells_the_story(mesh: Mesh) -> None:
    """Each part says in one line where it stands."""
    a, _, _, inbox_b = await mesh.pair(name="desk")
    assert isinstance(a, WorkerBus)
    await a.send(data(1))
    await inbox_b.wait()
    expected = f"<desk {mesh.channel!r} [1 joined | 1 sent, 0 received, 0 lost]>"
    assert repr(a) == expected
    assert repr(a._node).startswith("<MeshNode <Node ")
    assert "1 joined" in repr(a._node)
    assert a.endpoint in repr(a._node._life.transport)
    await a.stop()
    assert "not started" in repr(a)
    assert repr(a._node._life.transport) == "<Transport closed [0 dials, 0 attached]>"
