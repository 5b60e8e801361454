"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How fast a loaded machine runs an example says nothing about the code.
settings.register_profile("zmqbus", deadline=None)
settings.load_profile("zmqbus")
