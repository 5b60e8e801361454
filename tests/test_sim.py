"""The simulator: that it is deterministic, that it notices what is wrong, and storms by seed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from zmqbus.config import DEFAULT
from zmqbus.core.outbox import Action, MessagesLost, PeerGone, Publish
from zmqbus.packets import Batch, Plane, channel_id
from zmqbus.sim import Sim
from zmqbus.sim.network import Host
from zmqbus.sim.scenario import play
from zmqbus.sim.storm import FAULTS, Storm

# -- determinism

_DIGEST = """
import sys
from zmqbus.sim import Sim
from zmqbus.sim.storm import FAULTS, Storm

class Careless(Sim):
    def add(self, name, *, seeds=(), **settings):
        return super().add(name, seeds={*self.hosts, *seeds}, **settings)

storm = Storm(5, nodes=5, sim=Careless if sys.argv[1] == "careless" else Sim)
storm.run(8.0)
print(storm.sim.digest())
"""


def digests(kind: str) -> set[str]:
    """Of the same storm in three processes that hash differently."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _DIGEST, kind],
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in (1, 2, 3)
    ]
    outputs = [child.communicate(timeout=50)[0].strip() for child in children]
    assert all(child.returncode == 0 for child in children)
    return set(outputs)


def test_same_seed_gives_the_same_history_in_three_processes() -> None:
    """Nothing in core and simulator depends on the hash seed."""
    assert len(digests("careful")) == 1


def test_digest_shows_that_a_set_was_iterated() -> None:
    """The test above fails when it should: with seeds from a set the histories differ."""
    assert len(digests("careless")) > 1


def test_other_seed_gives_another_history() -> None:
    """The digest is of what happened and when."""

    def digest(seed: int) -> str:
        sim = Sim(seed)
        play(sim, "0 add n1\n0 add n2 seeds=n1\n1 settled")
        return sim.digest()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


# -- storms


@pytest.mark.parametrize("seed", range(12))
def test_storm_leaves_nothing_undone(seed: int) -> None:
    """Whatever happened, in the end all are joined and owe each other nothing (R3 to R23)."""
    storm = Storm(seed)
    storm.run(15.0)

    assert storm.sim.ledger.counters["delivered"] > 0


@pytest.mark.parametrize("seed", range(100, 106))
def test_storm_over_a_short_history_announces_every_loss(seed: int) -> None:
    """What leaves a history of 20 messages is counted to the last one (R15)."""
    config = replace(
        DEFAULT, history_msgs=20, window_msgs=20, system_hwm_msgs=20, early_msgs=20, repair_bytes=64
    )
    storm = Storm(seed, config=config)
    storm.run(15.0)

    lost = [e for _, _, e in storm.sim.history if isinstance(e, MessagesLost)]
    assert lost
    assert storm.sim.ledger.counters["lost"] == sum(e.lost_msgs for e in lost)


@pytest.mark.parametrize("seed", range(200, 204))
def test_storm_of_impatient_nodes_starts_streams_anew(seed: int) -> None:
    """Where the lost are forgotten within a second, both sides notice (R10)."""
    config = replace(DEFAULT, tombstone_secs=1.0, grace_secs=0.5)
    storm = Storm(seed, config=config)
    storm.run(15.0)

    assert any(isinstance(e, PeerGone) for _, _, e in storm.sim.history)


@pytest.mark.parametrize("kind", FAULTS)
def test_storm_of_one_kind_of_fault_settles(kind: str) -> None:
    """Each kind alone happens, and leaves nothing undone."""
    storm = Storm(33, nodes=4, faults=(kind,))

    assert storm.run(6.0) < 10.0

    assert list(storm.faults) == [kind]
    repaired = sum(h.core.counters["repaired_msgs"] for h in storm.sim.hosts.values())
    assert (repaired if kind == "drop" else storm.faults[kind]) > 0


def test_storm_without_faults_has_none() -> None:
    """Then nobody is lost, and no message is."""
    storm = Storm(31, nodes=4, faults=())
    storm.run(4.0)

    assert storm.sim.counters["PeerGone"] == 0
    assert storm.sim.ledger.counters["lost"] == 0


def test_each_newcomer_costs_what_one_costs() -> None:
    """Of 60 that meet through one seed each pair says little, and few tell of others (R9)."""
    storm = Storm(1, nodes=60, faults=())
    storm.run(0.5)

    packets = {kind: n for kind, (n, _) in storm.sim.traffic.items()}
    assert packets["Hello"] <= 2 * 60 * 59
    assert packets["Welcome"] <= 4 * 60 * 59
    assert packets["Members"] <= 4 * 60


def test_end_of_a_subscription_is_no_news_while_another_one_stands() -> None:
    """As with an XPUB, which counts them: whoever reads anew at once is not taken for gone."""
    sim = pair(Sim(1))
    one, other = sim.hosts["n1"], sim.hosts["n2"]
    (endpoint,) = (key for key in one.links if isinstance(key, str))
    old = one.links[endpoint]
    old.clear_at = sim.now + 0.5  # it ends behind what is still on it
    sim.hang_up(one, endpoint)
    sim._open_link(one, endpoint, endpoint)
    sim.run(1.0)
    assert other.core.peers[one.core.id].reader_seen


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1500))
def test_storm_of_twenty_runners(seed: int) -> None:
    """Many seeds of a larger mesh, for the second stage of CI."""
    Storm(seed, nodes=20).run(20.0)


# -- what it notices


def pair(sim: Sim) -> Sim:
    """Two that have joined."""
    play(sim, "0 add n1 workers=w1\n0 add n2 seeds=n1 workers=w2\n1 settled")
    return sim


class Meddler(Sim):
    """A network that does to data what no network may."""

    how = ""

    def _do(self, host: Host, action: Action) -> None:
        if isinstance(action, Publish) and self.how:
            batch = action.batch
            if self.how == "alter":
                batch = replace(batch, bodies=(b"other",) * len(batch.bodies))
            elif self.how == "skip":
                batch = replace(batch, previous=0)
            action = replace(action, batch=batch)
        super()._do(host, action)


@pytest.mark.parametrize(
    ("how", "complaint"),
    [("alter", "too late"), ("skip", "one that nobody missed")],
)
def test_broken_promise_fails_with_the_seed(how: str, complaint: str) -> None:
    """Order, exactly once and no silent loss are checked with every message."""
    sim = pair(Meddler(77))
    if how == "skip":
        sim.drop = 1.0
        sim.publish("n1", msgs=2)
        sim.drop = 0.0
    assert isinstance(sim, Meddler)
    sim.how = how
    sim.publish("n1")

    with pytest.raises(AssertionError, match=f"seed=77.*{complaint}"):
        sim.run(0.004)


def test_message_delivered_twice_fails() -> None:
    """Exactly once is checked against what was owed."""
    sim = pair(Sim(3))
    sim.publish("n1")
    sim.run(1.0)
    n1, n2 = sim.hosts["n1"], sim.hosts["n2"]
    n2.core.receive(
        Batch(channel_id("acme"), Plane.DATA, 2, 1, (b"0",)), n1.core.id, n2.core.id, sim.now
    )

    with pytest.raises(AssertionError, match="b'0' came twice"):
        sim.settle(n2)


def test_message_of_nobody_fails() -> None:
    """A message that was never sent has no reader."""
    sim = pair(Sim(3))
    n1, n2 = sim.hosts["n1"], sim.hosts["n2"]
    n2.core.receive(
        Batch(channel_id("acme"), Plane.DATA, 1, 0, (b"x",)), n1.core.id, n2.core.id, sim.now
    )

    with pytest.raises(AssertionError, match="is for another reader"):
        sim.settle(n2)


def test_false_death_fails() -> None:
    """Nobody may be lost to whom nothing was done."""
    sim = pair(Sim(3))
    sim.hosts["n1"].core.link_down(1, sim.now)

    with pytest.raises(AssertionError, match="false death of n2: its link was down"):
        sim.run(2.0)


def test_undelivered_message_is_not_settled() -> None:
    """What is owed and not announced is missing."""
    sim = pair(Sim(3, drop=1.0))
    sim.publish("n1", "w2")
    sim.run(5.0)

    with pytest.raises(AssertionError, match="of n1's data messages 1 never reached n2, and 0"):
        sim.assert_settled()


def test_unjoined_pair_is_not_settled() -> None:
    """Everybody must agree in the end."""
    sim = Sim(3)
    sim.add("n1")
    sim.add("n2")
    sim.run(1.0)

    with pytest.raises(AssertionError, match="n1 is joined with nobody and should be with n2"):
        sim.assert_settled()


@pytest.mark.parametrize(
    ("setting", "complaint"), [("history_msgs", "keeps 11 messages"), ("history_bytes", "bytes")]
)
def test_history_beyond_its_limit_fails(setting: str, complaint: str) -> None:
    """A sender that keeps more than it may is found (R15)."""
    small = {"history_msgs": 10, "window_msgs": 10, "system_hwm_msgs": 10}
    if setting == "history_bytes":
        small = {"history_bytes": 1000, "window_bytes": 1000}
    sim = pair(Sim(3, drop=1.0))
    sim.hosts["n1"].core.config = replace(DEFAULT, **small)

    with pytest.raises(AssertionError, match=f"seed=3.*n1 .*{complaint}"):
        sim.publish("n1", msgs=11, size_bytes=200)


def test_reader_that_holds_more_than_it_may_fails() -> None:
    """What waits for a hole to close, or for slow subscribers, is bounded (R18)."""
    sim = pair(Sim(3))
    sim.hosts["n2"].core.config = replace(DEFAULT, window_msgs=5, early_msgs=5)
    sim.slow("n2")
    sim.publish("n1", msgs=6)

    with pytest.raises(AssertionError, match="seed=3.* holds 6"):
        sim.run(0.1)


def test_too_many_connections_fail() -> None:
    """A node that dials more than it may is found (R25)."""
    sim = Sim(3)
    host = sim.add("n1")
    host.core.config = replace(DEFAULT, max_dials=1, max_peers=1)
    host.core.discovered(("sim://a", "sim://b", "sim://c"), sim.now)

    with pytest.raises(AssertionError, match="has 3 connections"):
        sim.settle(host)


def test_whatever_is_raised_names_the_seed() -> None:
    """Nothing may raise into the loop (R26)."""
    sim = Sim(8)
    sim.at(1.0, lambda: int("nothing"))

    with pytest.raises(AssertionError, match="seed=8 t=1 s step=1 .*ValueError"):
        sim.run(2.0)


def test_other_snapshot_is_not_agreed() -> None:
    """Everybody has to know of each what that one says (R8, R24)."""
    sim = pair(Sim(3))
    sim.hosts["n1"].core.channels[channel_id("acme")].snapshots["n1"] = b"other"

    with pytest.raises(AssertionError, match=r"n2 knows \(b'of n1',\) of n1, which says"):
        sim.assert_settled()


def test_other_route_is_not_agreed() -> None:
    """Everybody has to send a name's messages to the same runner (R6)."""
    sim = pair(Sim(3))
    n3 = sim.add("n3", seeds=["n1"], workers=("w1",))
    sim.add("n4", seeds=["n1"])
    sim.run(1.0)
    sim.assert_settled()

    sim.hosts["n2"].core.channels[channel_id("acme")].hosts["w1"] = (n3.core.id,)

    with pytest.raises(AssertionError, match="sends 'w1' to n[13], others to n[13]"):
        sim.assert_settled()


# -- what it tells


def test_repr_tells_the_story() -> None:
    """Seed, time, who is up, what became of messages."""
    sim = pair(Sim(3))
    sim.publish("n1", msgs=2)
    sim.run(1.0)
    sim.kill("n2")
    sim.pause("n1")

    assert re.fullmatch(
        r"<Sim seed=3 t=2 s step=\d+ \[0 up, 2 down \| 2 delivered, 0 lost\]>", repr(sim)
    )
    assert repr(sim.hosts["n1"]).startswith("<n1 stopped: <Node ")
    assert repr(sim.hosts["n2"]).startswith("<n2 dead: <Node ")
    sim.resume("n1")
    assert repr(sim.hosts["n1"]).startswith("<n1 up: <Node ")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("0 fly n1", "'fly'"),
        ("0 kill", "kill"),
        ("0 kill nobody", "'nobody'"),
        ("0", "IndexError"),
        ("0 add n1 colour=red", "colour"),
    ],
)
def test_line_that_cannot_be_read_is_named(line: str, complaint: str) -> None:
    """A scenario's mistake is told with its line."""
    with pytest.raises(ValueError, match=f"line 2, .*{complaint}"):
        play(Sim(), f"# a comment\n{line}")


@pytest.mark.parametrize(
    "claim",
    ["saw n1 PeerJoined n2 2", "sequence n1 PeerGone.left n2", "blocked n1 n2"],
)
def test_claim_that_does_not_hold_is_named(claim: str) -> None:
    """With its line and the seed."""
    sim = pair(Sim(9))
    with pytest.raises(AssertionError, match="line 1, .*seed=9"):
        play(sim, f"1 {claim}")


def test_living_process_is_not_restarted() -> None:
    """A restart needs a death."""
    sim = pair(Sim())
    with pytest.raises(AssertionError, match="n1 lives"):
        sim.restart("n1")
