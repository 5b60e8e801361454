"""``python -m fuzz TARGET``: look for inputs that break it, guided by coverage.

Inputs that reach something new are kept in ``build/fuzz/TARGET``, on top of those in
``tests/fuzz/corpus``; one that breaks something ends the run and is left in ``build/fuzz``.
``--keep`` takes as few of them as reach everything into ``tests/fuzz/corpus`` instead.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from loguru import logger

from fuzz import corpus
from fuzz.target import Target, allowed_bytes

_ROOM = Path(__file__).parents[1] / "build" / "fuzz"
_MEASURED_EVERY = 1000
_GROWN_BYTES = 4 * 2**20
"""How much the process may grow by one input; pages and pools make it coarse."""
_STUCK_SECS = 60
"""After which libFuzzer ends a run, by the clock. `Target` has a limit of its own, in time of the
processor, which does not mistake a busy machine for a hang."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", help="its name; a wrong one lists them all")
    parser.add_argument("--runs", type=int, default=-1, help="inputs to try; else without end")
    parser.add_argument("--secs", type=int, default=0, help="how long; else without end")
    parser.add_argument("--keep", action="store_true", help="renew the corpus of the suite")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, help="of libFuzzer's, instead")
    return parser.parse_args()


class _Run:
    """What libFuzzer calls: tries an input, and watches memory.

    The size of the process is looked at each time, which finds what takes megabytes; the exact peak
    is measured now and then, and said when it was never higher.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tried = self._accepted = 0
        self._highest = 0.0

    def __call__(self, data: bytes) -> None:
        if self._tried % _MEASURED_EVERY == 0:
            self._measure(data)
        self._tried += 1
        before = _resident_bytes()
        self._accepted += self._target.run(data)
        grown = _resident_bytes() - before
        assert grown <= _GROWN_BYTES, f"the process grew by {grown:,} for {len(data):,} bytes"

    def _measure(self, data: bytes) -> None:
        peak_bytes, most_bytes = self._target.peak_bytes(data), allowed_bytes(data)
        assert peak_bytes <= most_bytes, f"{len(data):,} bytes took {peak_bytes:,} of memory"
        if peak_bytes / most_bytes > self._highest:
            self._highest = peak_bytes / most_bytes
            sys.stderr.write(
                f"memory: {peak_bytes:,} bytes for {len(data):,}, {self._highest:.1%} of what is "
                f"allowed; {self._accepted:,} of {self._tried:,} inputs raised nothing\n"
            )


def _resident_bytes() -> int:
    """The most memory that this process has had."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else kilobytes * 1024


def _load(name: str, atheris: Any) -> Target:
    """The target, with the code that it leads to instrumented."""
    logger.disable("zmqbus.codec")  # what is dropped is said once for each name; they never end
    with atheris.instrument_imports(include=["zmqbus"]):
        from fuzz.targets import TARGETS
    if name not in TARGETS:
        sys.exit(f"There is no target {name!r}, but {', '.join(TARGETS)}.")
    return TARGETS[name]


def _fuzz(name: str, found: Path, flags: list[str]) -> None:
    """Hand over to libFuzzer, which ends the process."""
    try:
        import atheris
    except ImportError:
        sys.exit("The fuzzer atheris is not installed: pip install '.[fuzz]' gets it.")
    target = _load(name, atheris)
    found.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(corpus.read(name)):
        (found / f"kept-{number:04}").write_bytes(data)
    words = Path(tempfile.gettempdir(), "words")
    words.write_text("".join(map(_line, target.words)))
    # To merge, libFuzzer starts itself again, through a shell and with flags of its own.
    itself = f"{sys.executable} -m fuzz {name} --flags"
    limits = [f"-max_len={target.most_bytes}", *([f"-dict={words}"] if target.words else [])]
    atheris.Setup([itself, *limits, *flags, str(found)], _Run(target))
    atheris.Fuzz()


def _line(word: bytes) -> str:
    """A word as a line of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def main() -> int:
    """Run libFuzzer in a process of its own, and clean up after it."""
    args = _arguments()
    found = _ROOM / args.target
    if args.flags:
        _fuzz(args.target, found, args.flags)
    with tempfile.TemporaryDirectory(prefix="zmqbus-fuzz-") as room:
        kept = Path(room, "kept")
        kept.mkdir()
        flags = [
            f"-runs={args.runs}",
            f"-max_total_time={args.secs}",
            f"-timeout={_STUCK_SECS}",
            f"-artifact_prefix={found}-",
        ]
        if args.keep:
            flags = ["-merge=1", str(kept)]
        command = [sys.executable, "-m", "fuzz", args.target, "--flags", *flags]
        code = subprocess.run(command, env={**os.environ, "TMPDIR": room}).returncode
        if args.keep and not code:
            corpus.write(args.target, [path.read_bytes() for path in kept.iterdir()])
    return code


if __name__ == "__main__":
    sys.exit(main())
