"""Who hears which message, how often and in what order."""

from __future__ import annotations

import pytest
from support.describe import describe
from support.samples import MESSAGES
from support.worlds import World

EVENTS = ["BusUIEventMessage"]


async def sender_there_and_listener_here(world: World, *hears: str) -> None:
    """A far sender and a near listener that know each other."""
    await world.far.host("sender", "sender")
    await world.near.host("listener", "listener", hears=[*EVENTS, *hears])
    await world.far.knows("listener")
    await world.near.knows("sender")


@pytest.mark.parametrize("target", [None, "listener"])
@pytest.mark.parametrize("sample", [name for name in MESSAGES if name.startswith("ui")])
async def test_ui_message_arrives_as_it_was_sent(
    world: World, sample: str, target: str | None
) -> None:
    """Events, commands and job groups of the UI protocol arrive equal and of equal types."""
    await sender_there_and_listener_here(world, "BusUIDataMessage")

    await world.far.call("sender", "send_sample", sample=sample, target=target)

    message = MESSAGES[sample]("sender", target)
    expected = message.payload if sample == "ui event" else describe(message)  # type: ignore[attr-defined]
    assert await world.near.journal.wait("listener", "heard") == [expected]


async def test_thousand_messages_arrive_in_order_on_both_lanes(world: World) -> None:
    """One sender's data messages, targeted and broadcast in turn, keep their order (R12)."""
    await sender_there_and_listener_here(world)

    await world.far.call("sender", "burst", count=1000, targets=[None, "listener"])

    assert await world.near.journal.wait("listener", "heard", 1000) == list(range(1000))


async def test_system_messages_survive_a_flood_of_data(world: World) -> None:
    """System messages sent among data all arrive, in order among themselves (R16)."""
    await sender_there_and_listener_here(world, "BusJobUpdateUrgentMessage")

    await world.far.call("sender", "burst", count=1000, targets=["listener"], urgent_every=100)

    heard = await world.near.journal.wait("listener", "heard", 1010)
    assert [item for item in heard if isinstance(item, int)] == list(range(1000))
    urgent = [item for item in heard if isinstance(item, str)]
    assert [number for number in range(10) if f"int:{number}}}" in urgent[number]] == list(
        range(10)
    )


async def test_targeted_message_is_handled_by_its_target_alone(world: World) -> None:
    """A worker handles what is for it, and nothing that is for another."""
    await sender_there_and_listener_here(world)
    await world.near.host("listener", "other near", hears=EVENTS)
    await world.far.host("listener", "other far", hears=EVENTS)
    await world.far.knows("other near")

    await world.far.call("sender", "say", payload="for one", target="listener")
    await world.far.call("sender", "say", payload="for the far one", target="other far")
    await world.far.call("sender", "say", payload="for all")

    for site, name, words in (
        (world.near, "listener", ["for one", "for all"]),
        (world.near, "other near", ["for all"]),
        (world.far, "other far", ["for the far one", "for all"]),
    ):
        assert await site.journal.wait(name, "heard", until="for all") == words


async def test_own_messages_are_heard_here_and_there_exactly_once(world: World) -> None:
    """Every subscriber of the sender's bus, and every other, hears each message once (P11)."""
    listener = await world.near.host("listener", "listener", hears=EVENTS)
    await world.near.host("listener", "another", hears=EVENTS)
    sender = await world.near.host("sender", "sender")
    await world.far.host("listener", "remote", hears=EVENTS)
    await world.near.knows("remote")

    await sender.burst(100, [None])

    for site, name in ((world.near, "another"), (world.far, "remote"), (world.near, "listener")):
        await site.journal.wait(name, "heard", until=99)
        assert site.journal.of(name, "heard") == list(range(100))
    assert len(listener.messages) == 100


async def test_local_subscribers_get_the_very_object(world: World) -> None:
    """Local delivery passes the message itself, with whatever its payload holds (point 1)."""
    listener = await world.near.host("listener", "listener", hears=EVENTS)
    sender = await world.near.host("sender", "sender")
    payload = {"number": 7}

    await sender.say(payload)

    await world.near.journal.wait("listener", "heard")
    assert listener.messages[0].payload is payload


async def test_local_message_stays_on_its_bus(world: World) -> None:
    """A `BusLocalMessage` is heard on its own bus only (point 7)."""
    await sender_there_and_listener_here(world, "BusWorkerLocalErrorMessage")
    await world.far.host("listener", "remote", hears=[*EVENTS, "BusWorkerLocalErrorMessage"])

    await world.far.call("sender", "send_sample", sample="local error")
    await world.far.call("sender", "say", payload="after it")

    local = describe(MESSAGES["local error"]("sender", None))
    assert await world.far.journal.wait("remote", "heard", 2) == [local, "after it"]
    heard = await world.near.journal.wait("listener", "heard", until="after it")
    assert heard == (["after it"] if world.apart else [local, "after it"])
