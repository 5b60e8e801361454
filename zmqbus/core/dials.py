"""The addresses a node dials: tried in parallel, hung up unless they prove themselves in time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zmqbus.config import MeshConfig
from zmqbus.core.outbox import Dial, Hangup, Outbox
from zmqbus.core.timers import Timers
from zmqbus.packets import Interest, NodeId

_SECRET_BITS = 31


@dataclass(slots=True)
class DialState:
    """One DEALER: an address that is tried, or the link to a peer.

    Parameters:
        endpoint: The address.
        node: Who has proven to be there; before that who is said to be there, or None.
        owned: Whether ``node`` has ever proven to be there.
        up: Whether the ZMTP handshake is done.
        proven: Whether ``node`` has repeated the token last said on this dial.
        stale: Whether ``node`` has said since that it is not there any more.
        token: The token last said; 0 before the first.
        repeated: The token that ``node`` has last repeated; it may not have heard a newer one.
        told: The interests that the last hello named.
    """

    endpoint: str
    node: NodeId | None
    owned: bool = False
    up: bool = False
    proven: bool = False
    stale: bool = False
    token: int = 0
    repeated: int = 0
    told: tuple[Interest, ...] = ()


class Dials:
    """The table of dials, by number, with an index by address and one by node."""

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
        self._at: dict[str, dict[int, DialState]] = {}
        self._to: dict[NodeId, dict[int, DialState]] = {}
        self._last = 0

    def __contains__(self, dial: object) -> bool:
        return dial in self._table

    def __getitem__(self, dial: int) -> DialState:
        return self._table[dial]

    def get(self, dial: int) -> DialState | None:
        """The dial of that number, if it was not hung up."""
        return self._table.get(dial)

    def of(self, node: NodeId) -> list[tuple[int, DialState]]:
        """The dials that lead to ``node``, or are said to."""
        return list(self._to.get(node, {}).items())

    def at(self, endpoint: str) -> list[DialState]:
        """The dials of an address."""
        return list(self._at.get(endpoint, {}).values())

    @property
    def nodes(self) -> int:
        """How many nodes are dialled, or linked with."""
        return len(self._to)

    @property
    def attempts(self) -> int:
        """How many addresses are tried where nobody has proven to be so far."""
        return sum(not state.owned for state in self._table.values())

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._table))

    def open(
        self, endpoints: Iterable[str], node: NodeId | None, now: float, limit: int | None = None
    ) -> None:
        """Dial every address that is not dialled already, except for a peer that was there before.

        Args:
            endpoints: The addresses.
            node: Who is said to be there.
            now: The time.
            limit: How many dials there may be then; by default ``max_dials``.
        """
        for endpoint in endpoints:
            if any(not d.owned or d.node == node or d.proven for d in self.at(endpoint)):
                continue
            if len(self._table) >= (limit or self._config.max_dials):
                self._counters["dials_over_limit"] += 1
                continue
            self._last = dial = self._last + 1
            self._table[dial] = state = DialState(endpoint, None)
            self._at.setdefault(endpoint, {})[dial] = state
            if node:
                self._lead(dial, node)
            self._timers.set(("dial", dial), now + self._config.dial_timeout_secs)
            self._out.actions.append(Dial(dial, endpoint))

    def _lead(self, dial: int, node: NodeId) -> None:
        self._unlead(dial)
        state = self._table[dial]
        state.node = node
        self._to.setdefault(node, {})[dial] = state

    def _unlead(self, dial: int) -> None:
        node = self._table[dial].node
        if node is not None:
            del self._to[node][dial]
            if not self._to[node]:
                del self._to[node]

    def hang_up(self, dial: int) -> None:
        """Close a dial; its number is not used again."""
        self._unlead(dial)
        endpoint = self._table.pop(dial).endpoint
        del self._at[endpoint][dial]
        if not self._at[endpoint]:
            del self._at[endpoint]
        self._timers.cancel(("dial", dial))
        self._timers.cancel(("hello", dial))
        self._out.actions.append(Hangup(dial))

    def shun(self, dial: int, now: float) -> str:
        """Close a dial and leave its address alone for a while; returns the address."""
        endpoint = self._table[dial].endpoint
        self._timers.set(("shun", endpoint), now + self._config.tombstone_secs)
        self.hang_up(dial)
        return endpoint

    def unshun(self, endpoint: str) -> None:
        """Try an address again."""
        self._timers.cancel(("shun", endpoint))

    def is_shunned(self, endpoint: str) -> bool:
        """Whether there is no use in trying an address."""
        return self._timers.is_set(("shun", endpoint))

    def expect(self, endpoints: Iterable[str], node: NodeId) -> None:
        """``node`` says these addresses are its own: it is likely to answer there."""
        for endpoint in endpoints:
            for dial, state in list(self._at.get(endpoint, {}).items()):
                if state.node is None:
                    self._lead(dial, node)

    def renew_token(self, dial: int) -> None:
        """Give a dial a token that names it and this occasion, and that nobody else can guess.

        It stays the same until the next occasion: were it new with every hello, two nodes whose
        hellos cross would answer each other for ever, each with a token the other does not repeat.
        """
        state = self._table[dial]
        state.token = dial << _SECRET_BITS | self._rng.getrandbits(_SECRET_BITS)

    def prove(self, token: int, node: NodeId) -> int | None:
        """``node`` repeats a token: the number of the dial that this proves, if it is one.

        Only who got the token can repeat it, so this counts for more than what was expected.
        """
        dial = token >> _SECRET_BITS
        state = self._table.get(dial)
        if state is None or not state.up or state.token != token:
            return None
        if state.node != node:
            if state.owned:
                return None
            self._lead(dial, node)
        state.owned = state.proven = True
        state.repeated = token
        self._timers.cancel(("dial", dial))
        self._timers.cancel(("hello", dial))
        return dial

    def is_told(self, token: int, node: NodeId, lost: bool) -> bool:
        """Whether ``node`` could only know this token because it was told it.

        Args:
            token: What it repeats; it may not have heard the newest one.
            node: Who repeats it.
            lost: Whether it is reached nowhere: then a dial that has proven nothing yet will do.
        """
        state = self._table.get(token >> _SECRET_BITS)
        if state is None or token not in (state.token, state.repeated):
            return False
        return state.node == node if state.owned else lost

    def move(self, node: NodeId, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """``node`` has other addresses than before."""
        for state in self._to.get(node, {}).values():
            if state.endpoint in before + after:
                state.stale = state.endpoint not in after

    def is_proof(self, dial: int | None, token: int) -> bool:
        """Whether a token only proves again what is proven, and answers no hello."""
        state = self._table.get(dial) if dial else None
        if state is None or not state.proven or state.token != token:
            return False
        return not self._timers.is_set(("hello", dial))

    def mine(self, token: int) -> int | None:
        """The dial that led back to this very node, judged by its token."""
        dial = token >> _SECRET_BITS
        return dial if dial in self._table and self._table[dial].token == token else None
