"""`MeshConfig`: every tunable, with its unit, its relation to others and its price.

Durations are seconds, sizes bytes, counts messages. The defaults suit voice on one machine or one
LAN; presets are differences from them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

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
            event loop, so a busy peer keeps its link.
        dial_timeout_secs: How long an address may take to prove itself before it is hung up.
        hello_retry_secs: After which an unanswered hello or welcome is said again.
        tombstone_secs: How long a dead or departed node is remembered, so that no rumour revives
            it, and how long a lost one is still dialled.
        gossip_secs: Between two times that a node tells a random peer all members it knows. Only
            heals what the first meeting missed, so it may be long.
        nack_delay_secs: How long a hole may stay before it is asked for; doubles with each attempt
            up to ``nack_max_delay_secs``.
        tail_delay_secs: The same where only the sender's word, and no later message, shows the
            hole: the missing messages may still be queued on the slower plane.
        nack_max_delay_secs: See ``nack_delay_secs``.
        ack_delay_secs: How long an acknowledgement may wait for company. Longer: fewer packets,
            more history held by senders.
        window_msgs: How far a healthy peer may be behind before `send()` waits for it. Lower means
            less memory and more waiting; below a second of real-time traffic it is felt. At most
            ``history_msgs``.
        window_bytes: The same in bytes. At most ``history_bytes``.
        slow_peer_timeout_secs: How long `send()` of data waits for a slow peer before that peer
            counts as lagging and is not waited for.
        system_hwm_msgs: How many system messages to one peer may be unacknowledged.
        system_timeout_secs: How long `send()` of a system message waits at that mark before the
            peer is given up.
        history_msgs: How many unacknowledged messages a stream keeps for repair.
        history_bytes: The same in bytes.
        repair_bytes: How much one request for repair is answered with at once, so that a repair
            never delays live traffic for long; the rest is asked for again.
        early_msgs: How many messages of one sender a receiver holds ahead of a hole, or while its
            subscribers are behind. At least ``window_msgs``.
        early_bytes: The same in bytes. At least ``window_bytes``.
        inbox_msgs: How many undelivered messages a bus holds for its slowest subscriber before it
            takes no more data of the channel, so that pressure reaches the senders.
        batch_msgs: How many messages of one loop turn travel as one packet, at most; itself at most
            16,383, which is all that a packet can count.
        batch_bytes: How large such a packet may grow before it is sent.
        max_message_bytes: The largest message, encoded. Every runner needs the same.
        max_packet_bytes: The largest packet taken from a stranger or peer; a larger one costs it
            the connection. Above ``max_message_bytes`` plus ``batch_bytes``.
        max_peers: How many nodes a node links with, at most. Each costs about 7 file descriptors.
        max_dials: How many addresses are tried at once.
        max_channels: How many channels a node opens, or hears of from one peer.
        max_subscribers: How many names a peer may announce on a channel.
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
    batch_msgs: int = 64
    batch_bytes: int = 64 * 2**10
    max_message_bytes: int = 16 * 2**20
    max_packet_bytes: int = 32 * 2**20
    max_peers: int = 256
    max_dials: int = 512
    max_channels: int = 4_096
    max_subscribers: int = 4_096
    linger_secs: float = 2.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f.name, value, "not a number", "give a number")
            if not 0 < value < float("inf"):
                raise ConfigError(f.name, value, "not above zero", "give a positive number")
        if self.batch_msgs > _MAX_BATCH_MSGS:
            reason = f"above {_MAX_BATCH_MSGS:,}, the most messages a packet can count"
            raise ConfigError("batch_msgs", self.batch_msgs, reason, "lower it")
        for low, high in _ORDER:
            if getattr(self, low) > getattr(self, high):
                raise ConfigError(
                    low,
                    getattr(self, low),
                    f"above {high}={getattr(self, high)!r}",
                    f"lower {low} or raise {high}",
                )


_MAX_BATCH_MSGS = 2**14 - 1
"""`zmqbus.wire.MAX_BODIES`, which knows of no settings."""

#: Pairs of settings of which the first must not exceed the second.
_ORDER = (
    ("window_msgs", "history_msgs"),
    ("window_bytes", "history_bytes"),
    ("window_msgs", "early_msgs"),
    ("window_bytes", "early_bytes"),
    ("system_hwm_msgs", "history_msgs"),
    ("nack_delay_secs", "nack_max_delay_secs"),
    ("tail_delay_secs", "nack_max_delay_secs"),
    ("heartbeat_secs", "busy_after_secs"),
    ("heartbeat_secs", "link_timeout_secs"),
    ("max_message_bytes", "max_packet_bytes"),
    ("batch_bytes", "max_packet_bytes"),
    ("grace_secs", "tombstone_secs"),
    ("ack_delay_secs", "heartbeat_secs"),
)

DEFAULT = MeshConfig()
#: For links that drop out for seconds, such as Wi-Fi at the edge of its reach: patience first.
ROAMING = replace(DEFAULT, grace_secs=5.0, link_timeout_secs=5.0, busy_after_secs=5.0)
