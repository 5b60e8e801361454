"""One real core node among peers that say exactly what a test tells them to."""

from __future__ import annotations

from typing import TypeVar

from zmqbus.config import DEFAULT, MeshConfig
from zmqbus.core import Node
from zmqbus.core.channel import Channel
from zmqbus.core.outbox import Action, Dial, Event, Publish, Send
from zmqbus.core.peers import Whereabouts
from zmqbus.packets import (
    NOBODY,
    Batch,
    Hello,
    Interest,
    NodeId,
    Packet,
    Plane,
    Refuse,
    Status,
    StreamState,
    Welcome,
    channel_id,
)

T = TypeVar("T")
ROOM = channel_id("room")
ME = NodeId(b"nodeunde")
ANNE = NodeId(b"peeranne")
BERT = NodeId(b"peerbert")


def interest(
    runner: str, *subscribers: str, name: str = "room", age: int = 1, observe_all: bool = False
) -> Interest:
    """What a runner says of itself on a channel."""
    return Interest(channel_id(name), name, runner, age, subscribers, observe_all)


def hello(
    name: str,
    *interests: Interest,
    token: int = 7,
    heard: int = 0,
    met: int = 5,
    endpoints: tuple[str, ...] | None = None,
    data_endpoints: tuple[str, ...] | None = None,
    versions: tuple[int, int] = (1, 1),
    known: int = 0,
) -> Hello:
    """A hello of a node that listens where its name says."""
    return Hello(
        *versions,
        token,
        heard,
        "host",
        1,
        (f"tcp://{name}",) if endpoints is None else endpoints,
        (f"tcp://{name}/data",) if data_endpoints is None else data_endpoints,
        interests,
        known,
        met,
    )


class Scripted:
    """A node under test, at time ``now``."""

    def __init__(self, config: MeshConfig = DEFAULT, *, age: int = 100, seed: int = 1) -> None:
        self.now = 1.0
        self.node = Node(ME, config, seed=seed)
        self.node.start(Whereabouts("host", 1, ("tcp://me",), ("tcp://me/data",)), self.now)
        self.channel: Channel = self.node.open_channel(interest("mine", "w", age=age), self.now)
        self.actions: list[Action] = []
        self.events: list[Event] = []
        self.dials: dict[str, int] = {}
        self.tokens: dict[str, int] = {}

    def step(self) -> None:
        """Take what the node wants done and says happened."""
        actions = self.node.take_actions()
        self.dials.update({a.endpoint: a.dial for a in actions if isinstance(a, Dial)})
        self.actions += actions
        self.events += self.node.take_events()

    def clear(self) -> None:
        """Forget what was done and happened so far."""
        self.step()
        self.actions.clear()
        self.events.clear()

    def say(self, packet: Packet, sender: NodeId = ANNE, to: NodeId = ME) -> Refuse | None:
        """A packet of a peer arrives."""
        refuse = self.node.receive(packet, sender, to, self.now)
        self.step()
        return refuse

    def wait(self, secs: float) -> None:
        """Time passes; timers fire when they are due."""
        until = self.now + secs
        while (due := self.node.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.node.advance(self.now)
            self.step()
        self.now = until

    def link_up(self, endpoint: str) -> None:
        """The dial to an address gets its connection."""
        self.node.link_up(self.dials[endpoint], self.now)
        self.step()

    def link_down(self, endpoint: str) -> None:
        """The dial to an address loses its connection."""
        self.node.link_down(self.dials[endpoint], self.now)
        self.step()

    def reader(self, node: NodeId, present: bool) -> None:
        """The SUB of a peer comes or goes."""
        self.node.reader(node, present, self.now)
        self.step()

    def token(self) -> int:
        """The token of the last hello said."""
        return self.sent(Hello)[-1].token

    def sent(self, kind: type[T], to: NodeId | None = None) -> list[T]:
        """The packets of a kind sent so far, to anybody or to one node."""
        sends = [a for a in self.actions if isinstance(a, Send)]
        return [a.packet for a in sends if isinstance(a.packet, kind) and to in (None, a.addressee)]

    def published(self) -> list[tuple[NodeId | None, Batch]]:
        """What went out on the data plane."""
        return [(a.reader, a.batch) for a in self.actions if isinstance(a, Publish)]

    def seen(self, kind: type[T]) -> list[T]:
        """The events of a kind so far."""
        return [e for e in self.events if isinstance(e, kind)]

    def did(self, kind: type[T]) -> list[T]:
        """The actions of a kind so far."""
        return [a for a in self.actions if isinstance(a, kind)]

    def greet(self, node: NodeId, name: str, *interests: Interest, met: int = 5) -> None:
        """A peer introduces itself, and proves that our dial leads to it."""
        self.say(hello(name, *interests, met=met), node, NOBODY)
        self.link_up(f"tcp://{name}")
        self.tokens[name] = self.token()
        self.say(hello(name, *interests, heard=self.token(), met=met), node)

    def meet(self, node: NodeId, name: str, *interests: Interest) -> None:
        """A peer links on both planes and joins the room, with its streams at 0."""
        self.greet(node, name, *(interests or (interest(name),)))
        self.reader(node, True)
        self.say(Welcome(ROOM, 0, 0, (b"snapshot",)), node)
        self.state(node, Plane.SYSTEM, cursor=0)
        self.clear()

    def state(self, node: NodeId, plane: Plane, *, head: int = -1, cursor: int = -1) -> None:
        """A peer says where a pair of streams stands."""
        states = (StreamState(ROOM, plane, head, cursor),)
        self.say(Status(0, True, states=states), node)

    def publish(
        self, *bodies: bytes, to: tuple[NodeId, ...] | None = None, plane: Plane = Plane.DATA
    ) -> None:
        """The application sends messages."""
        for body in bodies:
            self.node.publish(self.channel, plane, to, body)
        self.step()


def batch(
    first: int, *bodies: bytes, previous: int | None = None, plane: Plane = Plane.DATA
) -> Batch:
    """Messages of the room, after the one before them unless said otherwise."""
    return Batch(ROOM, plane, first, first - 1 if previous is None else previous, bodies)
