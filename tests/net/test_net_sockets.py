"""Contexts and options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import zmq

from zmqbus.config import _AT_MOST, DEFAULT, MeshConfig
from zmqbus.errors import LibzmqTooOldError
from zmqbus.net.sockets import (
    _ZERO_COPY_RECV,
    MIN_LIBZMQ,
    check_libzmq,
    has_curve,
    libzmq_version,
    new_context,
    new_socket,
)


@pytest.mark.parametrize("found", [(3, 2, 5), (4, 2, 9), (4, 3, 1)])
def test_old_libzmq_is_refused_by_its_number(
    found: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A libzmq that strangers can crash is named with what is needed (X09)."""
    monkeypatch.setattr(zmq, "zmq_version_info", lambda: found)
    with pytest.raises(LibzmqTooOldError, match=r"libzmq {}\.{}\.{} is too old".format(*found)):
        check_libzmq()


@pytest.mark.parametrize("found", [MIN_LIBZMQ, (4, 3, 5), (4, 10, 0)])
def test_good_libzmq_is_accepted(
    found: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the stated minimum on nothing is said."""
    monkeypatch.setattr(zmq, "zmq_version_info", lambda: found)
    check_libzmq()


def test_context_has_room_for_every_dial() -> None:
    """The number of sockets allowed follows from the limits on dials and peers (Z31)."""
    with new_context(MeshConfig(max_dials=2_000, max_peers=1_000)) as context:
        assert context.get(zmq.MAX_SOCKETS) >= 3 * 3_000


def test_short_frames_that_wait_hold_no_buffers() -> None:
    """A frame costs what it holds, not the 8 kB that libzmq read it into (Z36)."""
    with new_context(DEFAULT) as context:
        assert context.get(_ZERO_COPY_RECV) == 0


@pytest.mark.parametrize("name", ["link_timeout_secs", "dial_timeout_secs", "max_packet_bytes"])
def test_largest_setting_allowed_is_one_that_libzmq_takes(name: str) -> None:
    """What `MeshConfig` lets pass is no overflow when the socket is made (R25)."""
    most: dict[str, Any] = {name: _AT_MOST[name][0]}
    config = replace(DEFAULT, **most)
    with new_context(config) as context, new_socket(context, zmq.DEALER, config) as socket:
        assert not socket.closed


def test_libzmq_says_what_it_is_and_what_it_can() -> None:
    """The wheels on PyPI can encrypt."""
    assert libzmq_version() == zmq.zmq_version()
    assert has_curve()
