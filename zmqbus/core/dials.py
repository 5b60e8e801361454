"""The addresses a node dials: tried in parallel, hung up unless they prove themselves in time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zmqbus.config import MeshConfig
from zmqbus.core.outbox import Dial, Hangup, Outbox
from zmqbus.core.timers import Timers
from zmqbus.packets import NodeId

_SECRET_BITS = 31


@dataclass(slots=True)
class DialState:
    """One DEALER: an address that is tried, or the link to a peer.

    Parameters:
        endpoint: The address.
        node: Who is expected there, or has proven to be; None if anybody will do.
        up: Whether the ZMTP handshake is done.
        proven: Whether ``node`` has repeated the token last said on this dial.
        token: The token last said; 0 before the first.
    """

    endpoint: str
    node: NodeId | None
    up: bool = False
    proven: bool = False
    token: int = 0


class Dials:
    """The table of dials, by number."""

    def __init__(
        self,
        config: MeshConfig,
        rng: random.Random,
        timers: Timers,
        out: Outbox,
        counters: Counter[str],
    ) -> None:
        self._config = config
        self._rng = rng
        self._timers = timers
        self._out = out
        self._counters = counters
        self._table: dict[int, DialState] = {}
        self._last = 0
        self._shunned: set[str] = set()

    def __contains__(self, dial: object) -> bool:
        return dial in self._table

    def __getitem__(self, dial: int) -> DialState:
        return self._table[dial]

    def get(self, dial: int) -> DialState | None:
        """The dial of that number, if it was not hung up."""
        return self._table.get(dial)

    def of(self, node: NodeId) -> list[tuple[int, DialState]]:
        """The dials that lead to ``node``, or are expected to."""
        return [(dial, state) for dial, state in self._table.items() if state.node == node]

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._table))

    def open(self, endpoints: Iterable[str], node: NodeId | None, now: float) -> None:
        """Dial every address that is not dialled already and does not shun us."""
        dialled = {state.endpoint for state in self._table.values() if state.node in (None, node)}
        for endpoint in endpoints:
            if endpoint in dialled or endpoint in self._shunned:
                continue
            if len(self._table) >= self._config.max_dials:
                self._counters["dials_over_limit"] += 1
                continue
            self._last = dial = self._last + 1
            self._table[dial] = DialState(endpoint, node)
            self._timers.set(("dial", dial), now + self._config.dial_timeout_secs)
            self._out.actions.append(Dial(dial, endpoint))

    def hang_up(self, dial: int) -> None:
        """Close a dial; its number is not used again."""
        del self._table[dial]
        self._timers.cancel(("dial", dial))
        self._timers.cancel(("hello", dial))
        self._out.actions.append(Hangup(dial))

    def shun(self, dial: int) -> str:
        """Close a dial and leave its address alone from now on; returns the address."""
        endpoint = self._table[dial].endpoint
        self._shunned.add(endpoint)
        self.hang_up(dial)
        return endpoint

    def expect(self, endpoints: Iterable[str], node: NodeId) -> None:
        """``node`` says these addresses are its own: that is who is expected there."""
        wanted = set(endpoints)
        for state in self._table.values():
            if state.node is None and state.endpoint in wanted:
                state.node = node

    def new_token(self, dial: int) -> int:
        """A token that names the dial and this occasion, and that nobody else can guess."""
        state = self._table[dial]
        state.token = dial << _SECRET_BITS | self._rng.getrandbits(_SECRET_BITS) or 1
        return state.token

    def prove(self, token: int, node: NodeId) -> int | None:
        """``node`` repeats a token: the number of the dial that this proves, if it is one."""
        dial = token >> _SECRET_BITS
        state = self._table.get(dial)
        if state is None or not state.up or state.token != token:
            return None
        if state.node is None:
            state.node = node
        if state.node != node:
            return None
        if not state.proven:
            state.proven = True
            self._timers.cancel(("dial", dial))
            self._timers.cancel(("hello", dial))
        return dial

    def mine(self, token: int) -> int | None:
        """The dial that led back to this very node, judged by its token."""
        dial = token >> _SECRET_BITS
        return dial if dial in self._table and self._table[dial].token == token else None
