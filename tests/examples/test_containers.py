"""The container files: what they name exists. What can be run of them is run in tests/lan."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from support.containers import EXAMPLES, Container, compose, documents, kubernetes
from typer.testing import CliRunner

from zmqbus import MeshKey, ZmqBus
from zmqbus.cli import app
from zmqbus.examples import handoff
from zmqbus.keys import settings as keys
from zmqbus.keys.files import write_secret
from zmqbus.net.endpoint import parse_bind
from zmqbus.net.rendezvous import DIRECTORY_VARIABLE

CONTAINERS = {
    **{f"compose {each.name}": each for each in compose()},
    **{f"kubernetes {each.name}": each for each in kubernetes("10.9.0.1")},
}
FILES = {path.name: path.read_text() for path in sorted(EXAMPLES.iterdir())}
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
VARIABLES = {
    *(f"ZMQBUS_{name.upper()}" for name in signature(ZmqBus.__init__).parameters),
    *(keys.KEY, keys.KEY_FILE, keys.RUNNER_KEY_FILE, keys.ADMIT_FILE, DIRECTORY_VARIABLE),
}

each_container = pytest.mark.parametrize("container", CONTAINERS.values(), ids=list(CONTAINERS))


def exists(*arguments: str) -> bool:
    """Whether the `zmqbus` command would take these arguments; runs nothing."""
    return CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0


@pytest.mark.parametrize("text", [*FILES.values(), README], ids=[*FILES, "README.md"])
def test_every_variable_that_a_text_names_exists(text: str) -> None:
    """A setting that is misspelt would do nothing, and nobody would say so."""
    assert set(re.findall(r"ZMQBUS_\w+", text)) <= VARIABLES


def test_every_command_that_the_readme_names_exists() -> None:
    """In a block or in a sentence, with its options."""
    blocks = re.findall(r"^(?:.*&& )?zmqbus ([^>#\n]*)", README, re.MULTILINE)
    sentences = re.findall(r"`zmqbus ([^`>]*)", README)
    assert len(blocks) > 5
    assert len(sentences) > 5
    for command in [*blocks, *sentences]:
        assert exists(*command.split()), command


def test_every_command_that_a_remark_names_exists() -> None:
    """It can be copied as it stands; that a wrong one is seen is seen, too."""
    remarks = "\n".join(FILES.values())
    commands = re.findall(r"^# +zmqbus ([^>\n]*)", remarks, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert exists(*command.split())
    assert not exists("health", "--chanel", "x")
    assert not exists("heal")


@each_container
def test_every_command_of_a_container_exists(container: Container) -> None:
    """Modules, roles, subcommands and options."""
    python, module, name, role = container.command
    assert (python, module) == ("python", "-m")
    assert find_spec(name)
    assert role == container.name
    assert role in ("transport", *handoff.SCRIPTS)
    for program, *arguments in container.probes:
        assert program == "zmqbus"
        assert exists(*arguments)


@each_container
def test_settings_of_a_container_make_a_bus(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value can be read, and the key is where it is looked for."""
    assert container.environment["ZMQBUS_KEY_FILE"] == container.key_file
    for name in [name for name in os.environ if name.startswith("ZMQBUS_")]:
        monkeypatch.delenv(name)
    for name, value in container.environment.items():
        monkeypatch.setenv(name, value)
    write_secret(tmp_path / "mesh.key", MeshKey.new().reveal())
    monkeypatch.setenv("ZMQBUS_KEY_FILE", str(tmp_path / "mesh.key"))
    assert "handoff" in repr(ZmqBus())


def test_pods_are_those_of_the_service_and_open_its_ports() -> None:
    """Both planes have theirs, and the name stands for all pods."""
    [service] = [document["spec"] for document in documents("Service")]
    port = parse_bind(kubernetes("10.9.0.1")[0].environment["ZMQBUS_BIND"]).port
    assert [each["port"] for each in service["ports"]] == [port, port + 1]
    templates = [d["spec"]["template"] for d in documents() if "template" in d.get("spec", {})]
    assert len(templates) == 3
    for template in templates:
        assert service["selector"].items() <= template["metadata"]["labels"].items()
        [container] = template["spec"]["containers"]
        assert [each["containerPort"] for each in container["ports"]] == [port, port + 1]


def test_key_of_a_pod_can_be_read_by_its_user_and_is_not_refused() -> None:
    """It stays root's, and the group that may read it is the only one that may (0440)."""
    for kind in ("Deployment", "Job"):
        for document in documents(kind):
            pod = document["spec"]["template"]["spec"]
            assert pod["securityContext"] == {"runAsNonRoot": True, "fsGroup": 1000}
            assert [each["secret"]["defaultMode"] for each in pod["volumes"]] == [0o400]
    assert "USER 1000" in FILES["Dockerfile"]


def test_image_holds_what_it_needs_and_no_key() -> None:
    """The key lies in the root of the checkout, of which only some parts are copied."""
    copied = re.findall(r"^COPY (.*) \S+$", FILES["Dockerfile"], re.MULTILINE)
    parts = [ROOT / part for line in copied for part in line.split()]
    assert all(part.exists() and part != ROOT for part in parts)
    told = yaml.safe_load(FILES["compose.yaml"])
    assert (EXAMPLES / told["secrets"]["mesh_key"]["file"]).resolve() == ROOT / "mesh.key"
    build = told["services"]["greeter"]["build"]
    assert (EXAMPLES / build["context"]).resolve() == ROOT
    assert ROOT / build["dockerfile"] == EXAMPLES / "Dockerfile"


def test_every_command_of_the_image_is_a_list() -> None:
    """A shell as the first process would keep SIGTERM to itself."""
    [command] = re.findall(r"^CMD (.*)", FILES["Dockerfile"], re.MULTILINE)
    assert command.startswith("[")
    assert all(isinstance(each.command, list) for each in CONTAINERS.values())


def test_every_excerpt_in_the_readme_is_of_a_file() -> None:
    """What is read there is what is tested here."""
    excerpts = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(excerpts) == 2
    whole = ["\n".join(line.strip() for line in text.splitlines()) for text in FILES.values()]
    for excerpt in excerpts:
        lines = "\n".join(line.strip() for line in dedent(excerpt).splitlines())
        assert any(lines in text for text in whole), excerpt
