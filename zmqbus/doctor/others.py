"""The checks of others: who is reached, and of whom is not, at which step it stops.

The steps: TCP, ZeroMQ's handshake, the key, the protocol version, the way back, the channel.
"""

from __future__ import annotations

import time

from zmqbus.core.peers import Peer
from zmqbus.doctor.case import PROBE_SECS, Case
from zmqbus.doctor.findings import Finding, fail, ok, warn
from zmqbus.doctor.observer import Target
from zmqbus.net.addresses import held
from zmqbus.net.endpoint import parse_seed
from zmqbus.net.probe import probe
from zmqbus.net.rendezvous import LOOK_SECS, Registered
from zmqbus.net.seeds import resolve
from zmqbus.net.visitors import UNKNOWN, Why, host_of
from zmqbus.packets import Interest, NodeId

MAX_TARGETS = 64
"""How many of this host's runners are called on; on a busy host they are alike."""
LATE_SECS = 1.0
"""From which on an event loop is called late: what is heard then stutters."""

_REMEDIES = (
    # what a refusal says, the step it stops at, what to do
    ("protocol version", "version", "install the same zmqbus on both sides"),
    ("max_peers", "limit", "raise `MeshConfig.max_peers` there"),
    ("broke the protocol", "conduct", "install the same zmqbus on both sides, and look at its log"),
    ("not admitted", "key", "have this runner's public key admitted there (`zmqbus key public`)"),
    ("", "key", "give both the same key: copy the file that ZMQBUS_KEY_FILE names"),
)

_UNBLOCK = (
    "let its code await, or move the work to a thread; `py-spy dump --pid` shows where it stands"
)


async def check_peers(case: Case) -> list[Finding]:
    """Call on everybody that is known of, and say how far it went with each."""
    findings = []
    for seed in case.setup.seeds:
        resolution = await resolve(seed)
        if resolution.reason:
            remedy = "mend the name in `peers=`, or the name service"
            findings.append(fail("peers", f"seed {seed}: {resolution.reason}", remedy))
        for endpoint in resolution.endpoints:
            if not _is_own(case, endpoint):
                case.node.call(Target("seed", (endpoint,)))
    for target in case.local_targets[:MAX_TARGETS]:
        case.node.call(target)
    await case.node.wait(case.wait_secs, lambda: True)
    findings += await judge_targets(case)
    findings += await _judge_others(case)
    remedy = "start a runner, or name one: `peers=['tcp://host:port']`"
    return findings or [warn("peers", "nobody was found", remedy)]


def _is_own(case: Case, endpoint: str) -> bool:
    """Whether a seed is this very node: a name may stand for all hosts, this one too."""
    at = parse_seed(endpoint)
    is_here = at.is_local or at.address in {h.address for h in held()}
    ends = f":{at.port}" if at.port else at.path
    return is_here and any(each.endswith(ends) for each in case.node.endpoints)


async def judge_targets(case: Case) -> list[Finding]:
    """How far it went with each that was called on; one of several addresses is judged once."""
    found = {t: case.node.peer_at(t) for t in case.node.targets}
    once = {peer.node if peer else target: target for target, peer in reversed(found.items())}
    return [await _judge(case, target) for target in found if target in once.values()]


async def _judge_others(case: Case) -> list[Finding]:
    """How far it went with those that only others, or they themselves, have told of."""
    called_on = {peer.node for t in case.node.targets if (peer := case.node.peer_at(t))}
    rest = [p for n, p in case.node.peers.items() if n not in called_on and not p.lost_reason]
    return [await (_judge_linked if p.linked else _judge_halfway)(case, p) for p in rest]


async def _judge(case: Case, target: Target) -> Finding:
    """How far it went with one that should be reached."""
    peer = case.node.peer_at(target)
    if peer is not None and peer.linked:
        return await _judge_linked(case, peer)
    if text := case.node.refusal_of(target):
        step, remedy = next((s, r) for said, s, r in _REMEDIES if said in text)
        return fail(f"peers: {step}", f"{text} ({target.source_and_pid})", remedy)
    if peer is not None:
        return await _judge_halfway(case, peer)
    return await _judge_silent(case, target)


async def _judge_linked(case: Case, peer: Peer) -> Finding:
    name = called(case, peer)
    rtt_ms = (peer.rtt_secs or 0.0) * 1000
    told = (
        f"{name} at {case.node.endpoint_of(peer)}: round trip {rtt_ms:.2f} ms, "
        f"loop {peer.lag_secs * 1000:.0f} ms late, "
        f"protocol {peer.hello.min_version} to {peer.hello.max_version}"
    )
    if peer.busy or peer.lag_secs > LATE_SECS:
        return fail("peers: loop", f"{told}; its event loop is blocked", _UNBLOCK)
    return await _misleading(case, peer, told) or ok("peers", told)


async def _misleading(case: Case, peer: Peer, name: str) -> Finding | None:
    """Whether nobody answers where it tells others that it is."""
    told = peer.hello.endpoints
    if peer.confirmed and case.node.endpoint_of(peer) in told:
        return None
    if any([await probe(endpoint, PROBE_SECS) == "open" for endpoint in told]):
        return None
    what = f"{name}; it tells others that it is at {', '.join(told)}, where nobody answers"
    return fail("peers: advertise", what, "mend its `advertise=`, or open its ports")


async def _judge_halfway(case: Case, peer: Peer) -> Finding:
    """It has said hello, so it reaches this node; what is missing is the way there, or data."""
    name, hello = called(case, peer), peer.hello
    if misleading := await _misleading(case, peer, f"{name} reaches this node"):
        return misleading
    if not peer.confirmed:
        what = f"{name} reaches this node, but does not answer at {', '.join(hello.endpoints)}"
        remedy = "see that its event loop is not blocked, and that it is what listens there"
        return fail("peers: loop", what, remedy)
    remedy = "let both of its ports through the firewall: the one it tells, and the next"
    what = f"{name} is reached, but not its data port, {', '.join(hello.data_endpoints)}"
    if any([await probe(e, PROBE_SECS) == "open" for e in hello.data_endpoints]):
        what = f"{name} is reached, but it does not reach the data port of this node"
        remedy = "let both ports of this host through the firewall, `bind=` and the next"
    return fail("peers: data", what, remedy)


async def _judge_silent(case: Case, target: Target) -> Finding:
    """It has not said hello."""
    verdicts = {e: await probe(e, PROBE_SECS) for e in target.endpoints}
    where = str(target)
    if "open" not in verdicts.values():
        if "refused" in verdicts.values():
            what = f"{where} refuses connections: nobody listens there, or a firewall says so"
            remedy = "start a runner there, mend the port in `peers=`, or open it in the firewall"
        else:
            what = f"{where} does not answer: its host is down, or a firewall swallows packets"
            remedy = "see whether the host answers a ping, and open the port in its firewall"
        return fail("peers: tcp", what, remedy)
    if not case.node.is_up(target):
        if target.entry:
            what = f"{where} takes connections and does nothing else: the process is stopped"
            remedy = f"let it go on (`kill -CONT {target.entry.pid}`), or end it"
            return fail("peers: handshake", what, remedy)
        what = f"{where} takes connections, but does not speak ZeroMQ with this node"
        remedy = "see which process listens there (`ss -tlnp`), and that it is not stopped"
        return fail("peers: handshake", what, remedy)
    told = ", ".join(case.node.endpoints)
    if target.entry and _is_neglected(target.entry):
        what = f"{where} is connected, and says nothing: its event loop is blocked"
        return fail("peers: loop", what, _UNBLOCK)
    what = f"{where} is connected, and does not call back at {told}"
    remedy = (
        "let that address be one it can reach (`bind=`, `advertise=`), open its two ports in the "
        "firewall of this host, and see that its event loop is not blocked"
    )
    return fail("peers: way back", what, remedy)


def _is_neglected(entry: Registered) -> bool:
    """Whether the process that wrote an entry has not looked around when it should have."""
    try:
        return time.time() - entry.path.stat().st_mtime > 2 * LOOK_SECS
    except FileNotFoundError:
        return False


async def check_strangers(case: Case) -> list[Finding]:
    """Who was turned away at the door of this node."""
    known = [text for t in case.node.targets if (text := case.node.refusal_of(t))]
    return [
        warn("strangers", text, "if it is one of yours, give it the key of this host")
        for text in dict.fromkeys(case.node.texts)
        if text not in known and not _is_own_probe(text)
    ]


def _is_own_probe(text: str) -> bool:
    """Whether it was this very command, which looked whether its own port is open."""
    address, _, why = text.partition(" was turned away: ")
    mine = {UNKNOWN, *(str(h.address) for h in held())}
    return why == Why.HUNG_UP.value and host_of(address).removeprefix("::ffff:") in mine


async def check_channel(case: Case) -> list[Finding]:
    """Whether anybody is on the channel."""
    name = case.setup.channel
    others = _interests(case)
    count = sum(i.channel == case.channel for i in others)
    if count:
        return [ok("channel", f"{name!r}, as {count} of those that are reached")]
    elsewhere = sorted({i.name for i in others})
    if not elsewhere:
        return []  # there is nobody, which was said
    what = f"nobody is on {name!r}; those that are reached are on {', '.join(map(repr, elsewhere))}"
    return [fail("channel", what, "give all the same `channel=` (ZMQBUS_CHANNEL); case counts")]


async def check_names(case: Case) -> list[Finding]:
    """Whether two runners have one name."""
    return list(taken_names(case).values()) or [ok("names", "no two runners have one name")]


def taken_names(case: Case) -> dict[NodeId, Finding]:
    """The runners on the channel whose names older ones have (R6)."""
    findings: dict[NodeId, Finding] = {}
    holders: dict[str, NodeId] = {}
    on_channel = [
        (i.started_at_ns, peer.node, i.runner)
        for peer in case.node.peers.values()
        for i in peer.hello.interests
        if peer.linked and i.channel == case.channel and i.runner
    ]
    for _, node, name in sorted(on_channel):
        if holders.setdefault(name, node) != node:
            where = called(case, case.node.peers[node])
            what = f"two live runners are called {name!r}; the younger, {where}, is heard by nobody"
            remedy = "end it, or give it another `WorkerRunner(name=…)`"
            findings[node] = fail("names", what, remedy)
    return findings


async def check_clocks(case: Case) -> list[Finding]:
    """Whether clocks agree, as far as it shows: nobody has started in the future.

    The wall clock is on the wire only as the time of a runner's start, which orders two runners
    of one name.
    """
    now_ns, findings = time.time_ns(), []
    for peer in case.node.peers.values():
        ahead_secs = max((i.started_at_ns - now_ns for i in peer.hello.interests), default=0) / 1e9
        if ahead_secs > LATE_SECS:
            what = f"the clock of {called(case, peer)} is ahead by at least {ahead_secs:.0f} s"
            findings.append(warn("clocks", what, "set the clocks of both hosts by NTP"))
    return findings or [ok("clocks", "no runner's clock is ahead of this host's")]


def _interests(case: Case) -> list[Interest]:
    return [i for peer in case.node.peers.values() if peer.linked for i in peer.hello.interests]


def called(case: Case, peer: Peer) -> str:
    """What people call a peer: the name it has on the channel, else on another one."""
    interests = sorted(peer.hello.interests, key=lambda i: i.channel != case.channel)
    name = next((i.runner for i in interests if i.runner), "observer")
    return f"{name} ({peer.node.hex()[:4]}, pid {peer.hello.pid} on {peer.hello.host})"
