"""All targets by name."""

from fuzz import messages, packets, texts

TARGETS = {**packets.TARGETS, **messages.TARGETS, **texts.TARGETS}
