"""``python -m zmqbus.cli`` is the `zmqbus` command."""

from zmqbus.cli import main

main()
