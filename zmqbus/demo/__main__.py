"""One process of the demo: ``python -m zmqbus.demo ROLE …``; `session` starts them."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from zmqbus.demo.children import end_with_parent


def main() -> None:
    """Run the role named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m zmqbus.demo")
    parser.add_argument("role", choices=["microphone", "listener", "standby", "recognizer"])
    parser.add_argument("--channel", default="")
    parser.add_argument("--wav", type=Path, default=None)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if options.role == "recognizer":
        from zmqbus.demo.recognizer import run_decoder

        return run_decoder(sys.stdin.buffer)

    end_with_parent()
    from zmqbus.demo.quiet import quiet_pipecat

    quiet_pipecat(options.verbose)
    if options.role == "microphone":
        from zmqbus.demo.microphone import run_microphone

        asyncio.run(run_microphone(options.channel, options.wav, options.fast))
    else:
        from zmqbus.demo.listener import run_listener

        asyncio.run(run_listener(options.channel, options.role))


if __name__ == "__main__":
    main()
