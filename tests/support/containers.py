"""The containers of the example files, as far as they can be run without an engine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).parents[2] / "zmqbus" / "examples" / "containers"
COMPOSE, KUBERNETES = EXAMPLES / "compose.yaml", EXAMPLES / "kubernetes.yaml"


@dataclass(frozen=True)
class Container:
    """What an engine would start.

    Parameters:
        name: What it is called, which is its role in the conversation.
        command: What it runs.
        environment: All that it is told.
        probes: The commands that ask how it is.
        key_file: Where it sees the key.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    probes: list[list[str]]
    key_file: str


def compose() -> list[Container]:
    """Those of compose.yaml."""
    told = yaml.safe_load(COMPOSE.read_text())
    return [
        Container(
            name,
            service["command"],
            service["environment"],
            [service["healthcheck"]["test"][1:]],
            f"/run/secrets/{service['secrets'][0]}",
        )
        for name, service in told["services"].items()
    ]


def documents(kind: str = "") -> list[Any]:
    """The documents of kubernetes.yaml, or those of a kind."""
    all_of_them = yaml.safe_load_all(KUBERNETES.read_text())
    return [each for each in all_of_them if kind in ("", each["kind"])]


def kubernetes(pod_ip: str) -> list[Container]:
    """The only container of each pod in kubernetes.yaml, in a pod with an address."""
    [settings] = [each["data"] for each in documents("ConfigMap")]
    found = []
    for document in documents():
        if "template" not in document.get("spec", {}):
            continue
        pod = document["spec"]["template"]["spec"]
        [container] = pod["containers"]
        more = {each["name"]: each.get("value", pod_ip) for each in container["env"]}
        found.append(
            Container(
                document["metadata"]["name"],
                container["command"],
                settings | {name: text.replace("$(POD_IP)", pod_ip) for name, text in more.items()},
                [each["exec"]["command"] for name, each in container.items() if "Probe" in name],
                f"{container['volumeMounts'][0]['mountPath']}/mesh.key",
            )
        )
    return found


def runnable(command: list[str]) -> list[str]:
    """A command of an image as one of this environment."""
    program, *rest = command
    return [sys.executable, *{"python": [], "zmqbus": ["-m", "zmqbus.cli"]}[program], *rest]
