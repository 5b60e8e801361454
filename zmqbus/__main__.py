"""``python -m zmqbus`` is the `zmqbus` command, for where the script is not on the PATH."""

from zmqbus.cli import main

main()
