"""The checks of this host: versions, keys, addresses, ports, the directory, multicast."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from zmqbus.doctor.case import PROBE_SECS, Case
from zmqbus.doctor.findings import Finding, fail, ok, warn
from zmqbus.doctor.observer import Observer, Target
from zmqbus.errors import BindError, ConfigError, LibzmqTooOldError
from zmqbus.keys import Keys
from zmqbus.keys.text import HIDDEN
from zmqbus.net.addresses import held
from zmqbus.net.endpoint import Endpoint
from zmqbus.net.probe import probe
from zmqbus.net.rendezvous import Registered, Rendezvous, runtime_directory
from zmqbus.net.sockets import check_libzmq, has_curve, libzmq_version
from zmqbus.packets import MIN_VERSION, VERSION

if TYPE_CHECKING:
    from zmqbus.net.mdns import Mdns

_SHOWN = 4
_LATE_SECS = 0.5
_PACKAGES = ("pipecat-zmqbus", "pipecat-ai", "pyzmq")


async def check_versions(case: Case) -> list[Finding]:
    """What runs here; of others only the protocol is on the wire."""
    found = []
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    what = f"{', '.join(found)}, libzmq {libzmq_version()}, protocol {MIN_VERSION} to {VERSION}"
    try:
        check_libzmq()
    except LibzmqTooOldError as error:
        return [fail("versions", what, str(error))]
    return [ok("versions", what)]


async def check_curve(case: Case) -> list[Finding]:
    """Whether this libzmq can encrypt."""
    if has_curve():
        return [ok("curve", "libzmq can encrypt")]
    say = fail if case.setup.ring else warn
    remedy = "install a pyzmq with CURVE: the wheels on PyPI have it"
    return [say("curve", "libzmq was built without CURVE, so no key can be used", remedy)]


async def check_interfaces(case: Case) -> list[Finding]:
    """Which addresses this host has."""
    found = [f"{h.interface} {h.address}" for h in held() if not h.address.is_loopback]
    if found:
        return [ok("interfaces", ", ".join(found))]
    if case.setup.at.is_local:
        return [ok("interfaces", "loopback only, which is all that this bus needs")]
    remedy = "connect this host to a network; runners that are up notice its address by themselves"
    return [fail("interfaces", "this host has no address but loopback", remedy)]


async def check_key(case: Case) -> list[Finding]:
    """Which key is used, and whether it is kept from others."""
    setup = case.setup
    if error := setup.key_error:
        where = error.setting if error.value == HIDDEN else f"{error.setting}={error.value!r}"
        return [fail("key", f"{where}: {error.reason}", error.remedy)]
    if error := setup.bind_error:
        remedy = "set ZMQBUS_KEY_FILE to a key that `zmqbus key new > mesh.key` made, the same "
        remedy += "on all hosts"
        return [fail("key", f"no key, and {error.value} can be reached by others", remedy)]
    if setup.ring is None and not setup.at.is_local:
        what = f"none, with insecure: whoever reaches {setup.bind} can read and send"
        return [warn("key", what, "give all a key: `zmqbus key new > mesh.key`, ZMQBUS_KEY_FILE")]
    if setup.ring is None:
        return [ok("key", "none; fine as long as all others have none either")]
    return [ok("key", _described(setup.ring.keys))]


def _described(keys: Keys) -> str:
    accepted = "".join(f", accepts {key.fingerprint} too" for key in keys.accept)
    admits = "" if keys.admit is None else f", and admits {len(keys.admit)} runners"
    return f"uses the one with the fingerprint {keys.use.fingerprint}{accepted}{admits}"


async def check_bind(case: Case) -> list[Finding]:
    """Whether the address can be bound; starts the observer there, or on another port."""
    setup = case.setup
    try:
        case.observer = await _started(Observer(setup, setup.bind, setup.advertise))
    except (BindError, ConfigError) as error:
        remedy = error.remedy
        elsewhere = Endpoint(setup.at.host or "127.0.0.1")
        with suppress(BindError, ConfigError):
            case.observer = await _started(Observer(setup, str(elsewhere), None))
        occupant = _occupant(case)
        if occupant is not None:
            what = f"{setup.bind} is in use by a runner of yours, pid {occupant.pid}"
            return [warn("bind", what, "start no second one there; checked from another port")]
        where = error.endpoint if isinstance(error, BindError) else setup.bind
        return [fail("bind", f"{where} cannot be bound: {error.reason}", remedy)]
    return [ok("bind", f"{', '.join(case.observer.endpoints)}")]


async def _started(observer: Observer) -> Observer:
    await observer.start()
    return observer


def _occupant(case: Case) -> Registered | None:
    """The runner of this user that listens where this one would."""
    port, path = case.setup.at.port, case.setup.at.path
    ends = f":{port}" if port else f"ipc://{path}"
    if not port and not path:
        return None
    return next(
        (e for e in case.entries if e.is_live and any(x.endswith(ends) for x in e.endpoints)), None
    )


async def check_advertise(case: Case) -> list[Finding]:
    """Whether the addresses that peers are told lead back here."""
    told = case.node.endpoints
    answers = {endpoint: await probe(endpoint, PROBE_SECS) for endpoint in told}
    dead = [f"{endpoint} ({verdict})" for endpoint, verdict in answers.items() if verdict != "open"]
    if not dead:
        return [ok("advertise", f"peers are told {_some(told)}, which leads back here")]
    what = f"peers are told {', '.join(dead)}, where nobody answers"
    if case.setup.advertise and case.setup.bind.endswith(":*"):
        remedy = "`advertise=` names a port, and `bind=` leaves the port to chance: give both"
    else:
        remedy = "let `advertise=` name the address and port at which others reach this host"
    return [fail("advertise", what, remedy)]


async def check_directory(case: Case) -> list[Finding]:
    """What is in the directory in which processes of this host meet."""
    directory = runtime_directory()
    if "local" not in case.setup.methods:
        return [ok("directory", "not used: discovery is without 'local'")]
    try:
        case.entries = Rendezvous(directory).survey()
    except ConfigError as error:
        return [fail("directory", f"{directory}: {error.reason}", error.remedy)]
    stale = [finding for e in case.entries if (finding := await _stale(e)) is not None]
    live = sum(entry.is_live for entry in case.entries)
    return stale or [ok("directory", f"{directory}, nodes that are registered there: {live}")]


async def _stale(entry: Registered) -> Finding | None:
    """What is wrong with an entry, if it is not that of a process that listens."""
    if not entry.is_live:
        what = f"{entry.path} is stale: process {entry.pid} has died without removing it"
        return warn("directory", what, "nothing: the next runner that starts here removes it")
    verdicts = [await probe(endpoint, PROBE_SECS) for endpoint in entry.endpoints]
    if not verdicts or any(verdict != "refused" for verdict in verdicts):
        return None
    what = (
        f"{entry.path} is stale: nobody listens at {_some(entry.endpoints)}, yet a process holds "
        f"its lock, perhaps one that was forked by process {entry.pid}"
    )
    return fail("directory", what, f"end that process (`fuser {entry.path}`), or remove the file")


async def check_multicast(case: Case) -> list[Finding]:
    """Whether mDNS leaves this host and comes back; calls on everybody that is heard."""
    if "lan" not in case.setup.methods:
        return [ok("multicast", "not used: discovery is without 'lan'")]
    from zmqbus.net.mdns import ECHO_SECS, Mdns

    mdns = Mdns(lambda endpoints, node: None)
    mdns.start()
    mdns.announce(case.node.id, case.node.endpoints, (case.channel,))
    try:
        # Once it is back, there is still time for the others to answer.
        await case.node.wait(2 * ECHO_SECS, lambda: mdns.heard_self and bool(mdns.adverts))
        return _judge_multicast(case, mdns)
    finally:
        mdns.stop()


def _judge_multicast(case: Case, mdns: Mdns) -> list[Finding]:
    for advert in mdns.adverts:
        case.node.call(Target("lan", advert.endpoints, advert.node))
    seeds = "name a runner as a seed, `peers=['tcp://host:port']` (its `bus.endpoint`)"
    if not mdns.heard_self:
        what = "no multicast: what this host sends does not even come back to it"
        return [fail("multicast", what, f"let UDP port 5353 through, or {seeds}")]
    if not mdns.adverts:
        what = "it comes back, and nobody else is heard"
        remedy = f"if there are others, this network carries no multicast between you: {seeds}"
        return [warn("multicast", what, remedy)]
    return [ok("multicast", f"it comes back; {len(mdns.adverts)} others are heard")]


async def check_loop(case: Case) -> list[Finding]:
    """How late this process' own event loop is, which measures how busy the host is."""
    lag_secs = case.node.lag_secs
    if lag_secs < _LATE_SECS:
        return [ok("loop", f"{lag_secs * 1000:.0f} ms late")]
    what = f"even this command's event loop is {lag_secs * 1000:.0f} ms late"
    return [warn("loop", what, "this host has too little processor time: look at what takes it")]


def _some(endpoints: tuple[str, ...]) -> str:
    rest = f" and {len(endpoints) - _SHOWN} more" if len(endpoints) > _SHOWN else ""
    return ", ".join(endpoints[:_SHOWN]) + rest
