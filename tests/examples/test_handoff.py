"""The handoff example runs to its end, as a reader would run it."""

from __future__ import annotations

import subprocess
import sys
import uuid

MODULE = (sys.executable, "-m", "zmqbus.examples.handoff")

CONVERSATION = """\
greeter: Reception. Is there anything that I can do for you?
customer: My bill for June is wrong.
expert: Billing. What is wrong with it?
customer: Forty euros too much.
expert: I have sent them back to you. Is that all?
customer: Yes, thank you.
greeter: Reception. Is there anything that I can do for you?
customer: No, thank you.
greeter: Goodbye!
"""


def conversation(output: str) -> str:
    """What was said, without the remarks on who was found where."""
    return "".join(line for line in output.splitlines(keepends=True) if line[0] != "(")


def test_all_three_in_one_go() -> None:
    """One command starts three processes, prints the conversation, and ends with status 0."""
    done = subprocess.run(MODULE, capture_output=True, text=True, timeout=50, check=False)

    assert (done.returncode, conversation(done.stdout)) == (0, CONVERSATION), done.stderr


def test_one_by_one_in_the_wrong_order() -> None:
    """Three terminals, the transport first: the same conversation, and all end by themselves."""
    channel = uuid.uuid4().hex
    roles = ("transport", "expert", "greeter")
    processes = [
        subprocess.Popen((*MODULE, role, channel), stdout=subprocess.PIPE, text=True)
        for role in roles
    ]
    try:
        outputs = [process.communicate(timeout=50)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert [conversation(output) for output in outputs] == [CONVERSATION, "", ""]


def test_a_role_that_does_not_exist_is_refused() -> None:
    """A slip of the keyboard is told with what there is; status 2."""
    command = (*MODULE, "expret")
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "expert" in done.stderr.splitlines()[-1]
