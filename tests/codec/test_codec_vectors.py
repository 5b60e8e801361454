"""The wire format, byte by byte: what was once sent is understood for ever (R28).

The bytes are those of two versions of pipecat; each understands the other's.
"""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.bus.messages import (
    BusEndMessage,
    BusFrameMessage,
    BusJobRequestMessage,
    BusMessage,
)
from pipecat.frames import frames
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import LLMSettings

from zmqbus.codec import IdSpace, MsgpackSerializer

PIPECAT_1_14 = {
    "end": ("96c40f323a427573456e644d657373616765ac302031203220726561736f6e01a22331a161a3627965"),
    "job": (
        "98c416323a4275734a6f62526571756573744d657373616765ab302031203220332037203b02a223"
        "32a161a162a16a82a17892c403696e74c409010000000000000000a47768656e93c4057475706c65"
        "c0c40100"
    ),
    "audio": (
        "98c411323a4275734672616d654d657373616765ab302031203220332034203508a22338a161a162"
        "99c414313a496e707574417564696f5261774672616d65ad25202620272028203020312021c40201"
        "80cd3e80010107a22337c3c70c02302e444f574e53545245414d"
    ),
    "text": (
        "98c411323a4275734672616d654d657373616765ab302031203220332034203508a22338a161a162"
        "99c40b313a546578744672616d65ad30203120212029203a202e2038cd012ca423333030c3a26869"
        "c2c381a16b92c4057475706c6501c70c02302e444f574e53545245414d"
    ),
    "delta": (
        "98c411323a4275734672616d654d657373616765ab302031203220332034203508a22338a161a162"
        "97c418313a4c4c4d55706461746553657474696e67734672616d65d9233020312021207265616368"
        "5f696e6163746976655f73657276696365732064656c746103a22333c2c293c42570697065636174"
        "2e73657276696365732e73657474696e67733a4c4c4d53657474696e6773ab74656d706572617475"
        "7265cb3fe0000000000000c70c02302e444f574e53545245414d"
    ),
    "ids": (
        "98c411323a4275734672616d654d657373616765ab302031203220332034203508a22338a161a162"
        "99c40b313a546578744672616d65ad30203120212029203a202e2038c70d036f726967696e212100"
        "00000005a423333030c3a26869c2c381a16b92c4057475706c6501c70c02302e444f574e53545245"
        "414d"
    ),
}
PIPECAT_1_3 = {
    "end": ("94c40f323a427573456e644d657373616765a83220726561736f6ea161a3627965"),
    "job": (
        "96c416323a4275734a6f62526571756573744d657373616765a73220332037203ba161a162a16a82"
        "a17892c403696e74c409010000000000000000a47768656e93c4057475706c65c0c40100"
    ),
    "audio": (
        "96c411323a4275734672616d654d657373616765a732203320342035a161a16298c414313a496e70"
        "7574417564696f5261774672616d65ab2520262027202820302031c4020180cd3e80010107a22337"
        "c70c02302e444f574e53545245414d"
    ),
    "text": (
        "96c411323a4275734672616d654d657373616765a732203320342035a161a16298c40b313a546578"
        "744672616d65ab3020312029203a202e2038cd012ca423333030a26869c2c381a16b92c405747570"
        "6c6501c70c02302e444f574e53545245414d"
    ),
    "delta": (
        "96c411323a4275734672616d654d657373616765a732203320342035a161a16295c418313a4c4c4d"
        "55706461746553657474696e67734672616d65a93020312064656c746103a2233393c42570697065"
        "6361742e73657276696365732e73657474696e67733a4c4c4d53657474696e6773ab74656d706572"
        "6174757265cb3fe0000000000000c70c02302e444f574e53545245414d"
    ),
    "ids": (
        "96c411323a4275734672616d654d657373616765a732203320342035a161a16298c40b313a546578"
        "744672616d65ab3020312029203a202e2038c70d036f726967696e21210000000005a423333030a2"
        "6869c2c381a16b92c4057475706c6501c70c02302e444f574e53545245414d"
    ),
}

HAS_IDS = "id" in BusMessage.__dataclass_fields__
MINE = PIPECAT_1_14 if HAS_IDS else PIPECAT_1_3


def named(thing: Any, number: int) -> Any:
    """`thing` with a known id and name, where it has one."""
    if "id" in thing.__dataclass_fields__:
        thing.id = number
        thing.name = f"{type(thing).__name__}#{number}"
    return thing


def carry(frame: Any) -> Any:
    """A message that carries `frame`."""
    direction = FrameDirection.DOWNSTREAM
    return named(BusFrameMessage(source="a", target="b", frame=frame, direction=direction), 8)


def messages() -> dict[str, Any]:
    """What the vectors say."""
    text = named(frames.TextFrame("hi"), 300)
    text.metadata = {"k": (1,)}
    payload = {"x": 2**64, "when": (None, b"\0")}
    job = BusJobRequestMessage(source="a", target="b", job_id="j", payload=payload)
    delta = frames.LLMUpdateSettingsFrame(delta=LLMSettings(temperature=0.5))
    return {
        "end": named(BusEndMessage(source="a", reason="bye"), 1),
        "job": named(job, 2),
        "audio": carry(named(frames.InputAudioRawFrame(b"\x01\x80", 16000, 1), 7)),
        "text": carry(text),
        "delta": carry(named(delta, 3)),
    }


def same(left: Any, right: Any) -> bool:
    """Whether two messages agree in all but ids and names."""
    ours, theirs = dict(vars(left)), dict(vars(right))
    for state in (ours, theirs):
        state.pop("id", None)
        state.pop("name", None)
    frames_agree = same(ours.pop("frame"), theirs.pop("frame")) if "frame" in ours else True
    return frames_agree and all(getattr(right, n) == v for n, v in ours.items())


@pytest.mark.parametrize("kind", messages())
def test_message_is_encoded_as_ever(kind: str, serializer: MsgpackSerializer) -> None:
    """The bytes that leave are the vectors."""
    assert serializer.serialize(messages()[kind]).hex() == MINE[kind]


@pytest.mark.parametrize("vectors", [PIPECAT_1_14, PIPECAT_1_3], ids=["1.14", "1.3"])
@pytest.mark.parametrize("kind", messages())
def test_vector_of_either_pipecat_is_understood(
    kind: str, vectors: dict[str, str], serializer: MsgpackSerializer, warnings_said: list[str]
) -> None:
    """Old and new pipecat read each other's messages (R28)."""
    back = serializer.deserialize(bytes.fromhex(vectors[kind]))
    assert same(messages()[kind], back)
    assert warnings_said == []


def test_foreign_id_is_encoded_as_ever(serializer: MsgpackSerializer) -> None:
    """An id of a third node is its origin and 40 bits."""
    ids = IdSpace(bytes(range(8)))
    message = messages()["text"]
    message.frame.id = ids.local(b"origin!!", 5)
    assert serializer.encode(message, ids).hex() == MINE["ids"]
    back: Any = serializer.decode(bytes.fromhex(MINE["ids"]), ids, b"another.")
    assert back.frame.id == message.frame.id
