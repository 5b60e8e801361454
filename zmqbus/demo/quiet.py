"""Importing pipecat without its banner, its log lines, or a download."""

from __future__ import annotations

import sys
from importlib.metadata import requires

from loguru import logger


def quiet_pipecat(verbose: bool = False) -> None:
    """Choose what is logged, before pipecat is imported.

    pipecat prints a banner as it is imported; and its older releases then try to download data
    for a tokenizer that the commands here never use, which takes long where the network only
    swallows packets.

    Args:
        verbose: Log everything to standard error, not only errors.
    """
    logger.remove()
    logger.add(sys.stderr, level="DEBUG" if verbose else "ERROR")
    if any(need.startswith("nltk") for need in requires("pipecat-ai") or ()):
        import nltk  # type: ignore[import-not-found,import-untyped,unused-ignore]

        nltk.download = lambda *_args, **_kwargs: False
