"""Frames between pipelines: bridges, hand-off, speech, ids."""

from __future__ import annotations

import asyncio

import pytest
from pipecat.frames.frames import TextFrame
from support.describe import describe
from support.samples import FRAMES
from support.worlds import World


async def test_frames_flow_to_the_active_model_and_follow_a_hand_over(world: World) -> None:
    """Of two bridged models only the active one is asked, and its answers come back."""
    await world.far.host("model", "greeter")
    await world.far.host("model", "support", active=False)
    transport = await world.near.host("transport", "transport")
    await world.near.knows("greeter", "support")
    await world.far.knows("transport")

    await transport.say("hello")
    await world.near.journal.wait("transport", "frame", until="greeter heard hello")
    await world.far.call("greeter", "hand_over", to="support", topic="refund")
    await world.far.journal.wait("support", "activated")
    await transport.say("my refund")
    answers = await world.near.journal.wait("transport", "frame", 2)

    assert answers == ["greeter heard hello", "support heard my refund"]
    assert world.far.journal.of("greeter", "asked") == ["hello"]
    assert world.far.journal.of("support", "asked") == ["my refund"]
    assert world.far.journal.of("support", "activated") == [
        "dict{str:'metadata': dict{str:'topic': str:'refund'}}"
    ]


async def test_bridge_name_selects_the_models_that_hear(world: World) -> None:
    """A model that names its bridges takes in the frames of those bridges only."""
    await world.far.host("model", "by phone", bridges=["phone"])
    await world.far.host("model", "by any", bridges=["phone", "web"])
    phone = await world.near.host("transport", "phone transport", bridge="phone")
    web = await world.near.host("transport", "web transport", bridge="web")
    await world.near.knows("by phone", "by any")
    await world.far.knows("phone transport", "web transport")

    await web.say("from the web")
    await phone.say("from the phone")
    await web.say("from the web again")

    everything = await world.far.journal.wait("by any", "asked", 3)
    assert set(everything) == {"from the web", "from the phone", "from the web again"}
    assert await world.far.journal.wait("by phone", "asked") == ["from the phone"]


async def test_speak_message_becomes_a_frame_in_the_targets_pipeline(world: World) -> None:
    """What one worker asks another to say is queued there, with its options."""
    await world.far.host("speaker", "speaker")
    await world.far.host("speaker", "silent")
    sender = await world.near.host("sender", "sender")
    await world.near.knows("speaker", "silent")

    await sender.send_sample("speak", "speaker")
    await sender.send_sample("speak")

    speech = describe(FRAMES["speak"]())
    assert await world.far.journal.wait("speaker", "frame", 2) == [speech, speech]
    assert await world.far.journal.wait("silent", "frame") == [speech]


@pytest.mark.parametrize("sample", FRAMES)
async def test_frame_arrives_equal_and_of_equal_types(world: World, sample: str) -> None:
    """Audio, images, text, contexts with tools: every field arrives as it was sent (F23)."""
    await world.far.host("sender", "sender")
    listener = await world.near.host("listener", "listener", hears=["BusFrameMessage"])
    await world.far.knows("listener")

    await world.far.call("sender", "send_frame", sample=sample, target="listener")

    await world.near.journal.wait("listener", "heard")
    assert describe(listener.messages[0].frame) == describe(FRAMES[sample]())


async def test_frames_from_afar_and_local_ones_all_pass_a_parallel_pipeline(world: World) -> None:
    """No frame from afar is taken for a duplicate of a local one, whatever its id was (P09)."""
    parallel = await world.near.host("parallel", "parallel")
    await world.far.host("sender", "sender")
    await world.far.knows("parallel")

    # Both counters go on from the same number, so both sides use the same ids from here on.
    await world.far.call("sender", "count_up_to", number=TextFrame(text="").id)
    sending = asyncio.create_task(
        world.far.call("sender", "send_texts", count=300, target="parallel")
    )
    for number in range(300):
        await parallel.say(f"local {number}")
    await sending

    passed = await world.near.journal.wait("parallel", "frame", 600)
    assert [text for text in passed if text.startswith("sender")] == [
        f"sender {number}" for number in range(300)
    ]
    assert len(set(passed)) == len(passed) == 600


async def test_ids_from_afar_differ_from_all_local_ones(world: World) -> None:
    """No frame that arrives bears an id that a local frame had before or gets later (point 8)."""
    listener = await world.near.host("listener", "listener", hears=["BusFrameMessage"])
    await world.far.host("sender", "sender")
    local = await world.near.host("sender", "local")
    await world.far.knows("listener")

    await world.far.call("sender", "send_texts", count=200, target="listener")
    await world.near.journal.wait("listener", "heard", 200)

    # Every id the sender has used so far is one that this process has used then, too.
    used_there = await world.far.call("sender", "count_up_to", number=0)
    counter = await local.count_up_to(used_there)
    arrived = {message.frame.id for message in listener.messages}
    assert len(arrived) == 200
    if world.apart:
        assert arrived.isdisjoint(range(counter + 1))


async def test_siblings_of_a_broadcast_still_name_each_other(world: World) -> None:
    """The two frames of a broadcast refer to each other after the trip as before (point 8)."""
    listener = await world.near.host("listener", "listener", hears=["BusFrameMessage"])
    await world.far.host("sender", "sender")
    await world.far.knows("listener")

    await world.far.call("sender", "send_siblings", target="listener")

    await world.near.journal.wait("listener", "heard", 2)
    down, up = (message.frame for message in listener.messages)
    assert (down.text, up.text) == ("down", "up")
    assert (down.broadcast_sibling_id, up.broadcast_sibling_id) == (up.id, down.id)
