"""`MeshConfig`: every tunable, with its unit, its relation to others and its price.

Durations are seconds, sizes bytes, counts messages. The defaults suit voice on one machine or one
LAN; presets are differences from them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import inf

from zmqbus.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """Tunables of a node. Immutable; use `dataclasses.replace` for another one.

    Parameters:
        heartbeat_secs: Between two heartbeats to a peer. Half of it: twice the idle traffic (about
            80 bytes a heartbeat), faster detection of a lost tail and of a busy peer.
        heartbeats_per_sec: How many heartbeats a node sends to all idle peers together. With more
            than ``heartbeats_per_sec`` times ``heartbeat_secs`` peers (100) each of them hears one
            less often, is told so, and counts as busy that much later. Death and repair do not wait
            for heartbeats. Each costs some 50 microseconds at either end.
        busy_after_secs: Silence of a peer whose link lives, after which it counts as busy. At least
            twice ``heartbeat_secs``.
        grace_secs: How long a peer may be unreachable before it is lost. Longer forgives longer
            cuts, and delays the answer that a peer is dead.
        link_timeout_secs: Silence of a TCP link after which libzmq gives it up. Noticed without the
            event loop, so a busy peer keeps its link. At least ``heartbeat_secs``.
        dial_timeout_secs: How long an address may take to prove itself before it is hung up.
        hello_retry_secs: After which an unanswered hello or welcome is said again.
        tombstone_secs: How long a dead or departed node is remembered, so that no rumour revives
            it, and how long a lost one is still dialled. At least ``grace_secs``.
        gossip_secs: Between two times that a node tells a random peer all members it knows. Only
            heals what the first meeting missed, so it may be long.
        nack_delay_secs: How long a hole may stay before it is asked for; doubles with each attempt
            up to ``nack_max_delay_secs``.
        tail_delay_secs: The same where only the sender's word, and no later message, shows the
            hole: the missing messages may still be queued on the slower plane.
        nack_max_delay_secs: See ``nack_delay_secs``; at least that and ``tail_delay_secs``.
        ack_delay_secs: How long an acknowledgement may wait for company. Longer: fewer packets,
            more history held by senders. At most ``heartbeat_secs``.
        window_msgs: How far a healthy peer may be behind before `send()` waits for it. Lower means
            less memory and more waiting; below a second of real-time traffic it is felt. At most
            ``history_msgs``.
        window_bytes: The same in bytes. At most ``history_bytes``.
        slow_peer_timeout_secs: How long `send()` of data waits for a slow peer before that peer
            counts as lagging and is not waited for.
        system_hwm_msgs: How many system messages to one peer may be unacknowledged. At most
            ``history_msgs``.
        system_timeout_secs: How long `send()` of a system message waits at that mark before the
            peer is given up.
        history_msgs: How many unacknowledged messages a stream keeps for repair.
        history_bytes: The same in bytes.
        repair_bytes: How much one request for repair is answered with at once, so that a repair
            never delays live traffic for long; the rest is asked for again. Every runner needs the
            same, or repairs pause.
        early_msgs: How many messages of one sender a receiver holds ahead of a hole, or while its
            subscribers are behind. At least ``window_msgs``.
        early_bytes: The same in bytes. At least ``window_bytes``.
        inbox_msgs: How many undelivered messages a bus holds for its slowest subscriber before it
            takes no more data of the channel, so that pressure reaches the senders.
        max_audio_age_secs: How long an audio frame in a `BusFrameMessage` may wait at either end
            before it is skipped, counted and announced; None, the default: for ever. Only audio
            that is played at once is better lost than late: a recording is not.
        batch_msgs: How many messages of one loop turn travel as one packet, at most; itself at most
            16,383, which is all that a packet can count.
        batch_bytes: How large such a packet may grow before it is sent.
        max_message_bytes: The largest message, encoded. Every runner needs the same.
        max_packet_bytes: The largest packet taken from a stranger or peer; a larger one costs it
            the connection, and would be sent again and again. At least ``max_message_bytes`` plus
            ``batch_bytes``, and beside them 4 for each of ``batch_msgs`` and 64 for each of
            ``max_peers``: what a packet has around its messages.
        max_peers: How many nodes a node links with, at most; itself at most 4,096. Each costs about
            7 file descriptors.
        max_dials: How many addresses are tried at once.
        max_channels: How many channels a node opens, or hears of from one peer; at most 4,096.
        max_subscribers: How many names a peer may announce on a channel; at most 4,096.
        linger_secs: How long `stop()` waits for peers to take the last messages.
    """

    heartbeat_secs: float = 0.5
    heartbeats_per_sec: float = 200.0
    busy_after_secs: float = 2.0
    grace_secs: float = 1.0
    link_timeout_secs: float = 2.0
    dial_timeout_secs: float = 5.0
    hello_retry_secs: float = 1.0
    tombstone_secs: float = 60.0
    gossip_secs: float = 5.0
    nack_delay_secs: float = 0.005
    tail_delay_secs: float = 0.1
    nack_max_delay_secs: float = 0.5
    ack_delay_secs: float = 0.1
    window_msgs: int = 8_192
    window_bytes: int = 32 * 2**20
    slow_peer_timeout_secs: float = 1.0
    system_hwm_msgs: int = 1_000
    system_timeout_secs: float = 2.0
    history_msgs: int = 65_536
    history_bytes: int = 64 * 2**20
    repair_bytes: int = 2**20
    early_msgs: int = 16_384
    early_bytes: int = 64 * 2**20
    inbox_msgs: int = 4_096
    max_audio_age_secs: float | None = None
    batch_msgs: int = 32
    batch_bytes: int = 64 * 2**10
    max_message_bytes: int = 16 * 2**20
    max_packet_bytes: int = 32 * 2**20
    max_peers: int = 256
    max_dials: int = 512
    max_channels: int = 4_096
    max_subscribers: int = 4_096
    linger_secs: float = 2.0

    @property
    def portion_msgs(self) -> int:
        """How many messages of each peer a bus takes at once when its subscribers were behind."""
        return max(1, self.inbox_msgs // 16)

    def __post_init__(self) -> None:
        for f in fields(self):
            self._check_number(f.name, whole=f.type == "int")
        for name, (most, why) in _AT_MOST.items():
            if getattr(self, name) > most:
                raise ConfigError(
                    name, getattr(self, name), f"above {most:,}, {why}", f"lower {name}"
                )
        for name, others in _AT_LEAST:
            self._check_least(name, others)

    def _check_number(self, name: str, *, whole: bool) -> None:
        value = getattr(self, name)
        if value is None and name in _MAY_BE_OFF:
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(name, value, "not a number", "give a number")
        if not 0 < value < inf:
            reason = "not a finite number above zero"
            raise ConfigError(name, value, reason, "give a positive number")
        if whole and not isinstance(value, int):
            raise ConfigError(name, value, "not a whole number", "give an int")

    def _check_least(self, name: str, others: dict[str, int]) -> None:
        value = getattr(self, name)
        if value < sum(times * getattr(self, other) for other, times in others.items()):
            bound = " + ".join(
                f"{f'{times} * ' if times > 1 else ''}{other}={getattr(self, other)!r}"
                for other, times in others.items()
            )
            remedy = f"raise {name} or lower {' or '.join(others)}"
            raise ConfigError(name, value, f"below {bound}", remedy)


_MAY_BE_OFF = ("max_audio_age_secs",)

_MOST_SECS = (2**31 - 1) // 1000
_TIMED_BY_LIBZMQ = "the most seconds that libzmq can count"

#: What a packet can carry, and what libzmq can count; neither knows of settings.
_AT_MOST = {
    "link_timeout_secs": (_MOST_SECS, _TIMED_BY_LIBZMQ),
    "dial_timeout_secs": (_MOST_SECS, _TIMED_BY_LIBZMQ),
    "max_packet_bytes": (2**63 - 1, "the most bytes that libzmq can count"),
    "batch_msgs": (2**14 - 1, "the most messages a packet can count"),
    "max_peers": (2**12, "the most readers a packet can make exceptions for"),
    "max_channels": (2**12, "the most channels a packet can name"),
    "max_subscribers": (2**12, "the most subscribers a packet can name"),
}

#: Which settings, so many times each, a setting must not be below in sum.
_AT_LEAST: tuple[tuple[str, dict[str, int]], ...] = (
    ("busy_after_secs", {"heartbeat_secs": 2}),
    ("link_timeout_secs", {"heartbeat_secs": 1}),
    ("heartbeat_secs", {"ack_delay_secs": 1}),
    ("tombstone_secs", {"grace_secs": 1}),
    ("nack_max_delay_secs", {"nack_delay_secs": 1}),
    ("nack_max_delay_secs", {"tail_delay_secs": 1}),
    ("history_msgs", {"window_msgs": 1}),
    ("history_msgs", {"system_hwm_msgs": 1}),
    ("history_bytes", {"window_bytes": 1}),
    ("early_msgs", {"window_msgs": 1}),
    ("early_bytes", {"window_bytes": 1}),
    (
        "max_packet_bytes",
        {"max_message_bytes": 1, "batch_bytes": 1, "batch_msgs": 4, "max_peers": 64},
    ),
)

DEFAULT = MeshConfig()
#: For links that drop out for seconds, such as Wi-Fi at the edge of its reach: patience first.
ROAMING = replace(DEFAULT, grace_secs=5.0, link_timeout_secs=5.0, busy_after_secs=5.0)
