"""What stands between the bus and a subscriber."""

from __future__ import annotations

from pipecat.bus import BusMessage, BusSubscriber, BusWorkerRegistryMessage
from support.buses import Inbox, data

from zmqbus.gate import Gate, RegistryGate


class Choosy(BusSubscriber):
    """A subscriber that takes nothing."""

    name = "choosy"

    def __str__(self) -> str:
        return "a choosy one"

    def accepts_bus_message(self, message: BusMessage) -> bool:
        """Refuse."""
        return False


def test_gate_is_the_subscriber_to_the_bus() -> None:
    """Its name, its text, and what it accepts; one that cannot say so accepts all."""
    gate = Gate(Choosy())
    assert (gate.name, str(gate)) == ("choosy", "a choosy one")
    assert not gate.accepts_bus_message(data("x"))
    assert Gate(Inbox("b")).accepts_bus_message(data("x"))


async def test_gate_hands_on_the_very_message() -> None:
    """A gate alone changes nothing."""
    inbox, message = Inbox("a"), data("x")
    await Gate(inbox).on_bus_message(message)
    assert inbox.messages == [message]
    assert inbox.messages[0] is message


async def test_announcement_that_does_not_count_any_more_is_kept_from_the_runner() -> None:
    """Registered after its runner was forgotten, a worker would be listed for ever (F3)."""
    messages = [
        BusWorkerRegistryMessage(source=runner, runner=runner, workers=[])
        for runner in ("here", "gone")
    ]
    inbox = Inbox("runner")
    gate = RegistryGate(inbox, lambda message: message is messages[0])
    for message in (*messages, data("x", source="gone")):
        await gate.on_bus_message(message)
    assert [m.source for m in inbox.messages] == ["here", "gone"]
    assert inbox.texts == ["x"]
