"""pipecat's own types that are neither dataclass nor model nor enum, and its process-local rules.

* `LLMContext`, `ToolsSchema`, `FunctionSchema`: their parts, rebuilt by their constructors. A
  handler stays behind with one warning; a direct function travels as its schema (S06).
* The "not given" sentinels come back as the very singletons. Where pipecat 1.3.0 has two, its
  newer versions have one.
* `ExternalUserTurnStrategies` is rebuilt from its one setting. Other turn strategies hold models
  and handlers: they belong to one process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from pipecat.processors.aggregators import llm_context
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage
from pipecat.services import settings as service_settings

from zmqbus.codec.coding import Decoding, Encode, Encoding, Mark, UntravelableError
from zmqbus.errors import CodecError

ToolsSchema: Any = llm_context.ToolsSchema  # type: ignore[attr-defined]  # the module moved in 1.14
_tools: Any = sys.modules[ToolsSchema.__module__]
FunctionSchema: Any = _tools.FunctionSchema
settings: Any = service_settings  # it re-exports its sentinel without saying so
_STRATEGIES = "pipecat.turns.user_turn_strategies"

# Not in anybody's runtime annotations, yet in contexts and tools.
EXTRA_TYPES: tuple[type, ...] = (LLMSpecificMessage, _tools.AdapterType)

Special = tuple[type, Encode, Mark]


def _mark(name: str) -> bytes:
    return name.encode()


def _encode_context(value: Any, enc: Encoding) -> list[Any]:
    parts = {"messages": value.messages, "tools": value.tools, "tool_choice": value.tool_choice}
    return [_mark("LLMContext"), *_named(parts, enc)]


def _build_context(items: list[Any], decoding: Decoding) -> Any:
    _, messages, tools, tool_choice = items
    if not isinstance(messages, list):
        raise CodecError("LLMContext.messages", "list wanted")
    return LLMContext(messages, tools, tool_choice)


def _encode_tools(value: Any, enc: Encoding) -> list[Any]:
    parts = {"standard_tools": value.standard_tools, "custom_tools": value.custom_tools}
    return [_mark("ToolsSchema"), *_named(parts, enc)]


def _build_tools(items: list[Any], decoding: Decoding) -> Any:
    _, standard, custom = items
    if not isinstance(standard, list) or not all(type(t) is FunctionSchema for t in standard):
        raise CodecError("ToolsSchema.standard_tools", "list of FunctionSchema wanted")
    if not isinstance(custom, dict | None):
        raise CodecError("ToolsSchema.custom_tools", "dict wanted")
    return ToolsSchema(standard, custom)


def _encode_function(value: Any, enc: Encoding) -> list[Any]:
    if getattr(value, "handler", None) is not None:
        text = f"left out of {value.name!r}, because a handler belongs to its process"
        enc.notices.warn("FunctionSchema.handler", text)
    parts = {n: getattr(value, n) for n in ("name", "description", "properties", "required")}
    return [_mark("FunctionSchema"), *_named(parts, enc)]


def _build_function(items: list[Any], decoding: Decoding) -> Any:
    _, name, description, properties, required = items
    if not isinstance(name, str) or not isinstance(properties, dict):
        raise CodecError("FunctionSchema", "a name and a dict of properties wanted")
    return FunctionSchema(name, description, properties, required)


def _named(parts: dict[str, Any], enc: Encoding) -> Iterator[Any]:
    for name, part in parts.items():
        try:
            yield enc.value(part)
        except UntravelableError as error:
            error.steps.append(f".{name}")
            raise


def _encode_tool_list(value: Any, enc: Encoding) -> Any:
    """`LLMSetToolsFrame.tools`: direct functions become their schemas."""
    if not isinstance(value, list):
        return value
    return [_as_schema(tool, enc) for tool in value]


def _as_schema(tool: Any, enc: Encoding) -> Any:
    if not callable(tool):
        return tool
    text = f"{tool.__name__!r} travels as its schema, because a function belongs to its process"
    enc.notices.warn("LLMSetToolsFrame.tools", text)
    return _tools.DirectFunctionWrapper(tool).to_function_schema()


# (class name, field) -> what to do with the value before it is encoded.
PREPARE: dict[str, dict[str, Encode]] = {"LLMSetToolsFrame": {"tools": _encode_tool_list}}


def _sentinels() -> Iterator[tuple[str, Any]]:
    yield "settings.NOT_GIVEN", settings.NOT_GIVEN
    openai: Any = sys.modules.get("openai")
    if openai is not None:
        yield "openai.NOT_GIVEN", openai.NOT_GIVEN
    yield "NOT_GIVEN", llm_context.NOT_GIVEN  # last: the name by which a shared one goes out


# The default of a setting, and of most of a delta: left out like None, since each is alone in its
# type, so that a peer whose pipecat has another sentinel puts in its own.
SENTINELS: frozenset[type] = frozenset({type(settings.NOT_GIVEN), type(llm_context.NOT_GIVEN)})


def _sentinel(name: str, sentinel: Any) -> Special:
    def encode(value: Any, enc: Encoding) -> Any:
        return [_mark(name)]

    return type(sentinel), encode, Mark(name, lambda items, decoding: sentinel)


def _strategies() -> Iterator[Special]:
    module: Any = sys.modules.get(_STRATEGIES)
    if module is None:
        return
    external = module.ExternalUserTurnStrategies
    name = "ExternalUserTurnStrategies"

    def encode(value: Any, enc: Encoding) -> Any:
        return [_mark(name), getattr(value, "enable_interruptions", True)]

    def build(items: list[Any], decoding: Decoding) -> Any:
        value = external()
        if not items[1] and hasattr(value, "enable_interruptions"):
            value = external(enable_interruptions=False)
        return value

    yield external, encode, Mark(name, build)


def process_local() -> tuple[type, ...]:
    """Classes that never enter the table, subclasses included."""
    module: Any = sys.modules.get(_STRATEGIES)
    return () if module is None else (module.UserTurnStrategies,)


def specials() -> Iterator[Special]:
    """Type, encoder and mark of each, as far as this process has imported it."""
    yield LLMContext, _encode_context, Mark("LLMContext", _build_context)
    yield ToolsSchema, _encode_tools, Mark("ToolsSchema", _build_tools)
    yield FunctionSchema, _encode_function, Mark("FunctionSchema", _build_function)
    for name, sentinel in _sentinels():
        yield _sentinel(name, sentinel)
    yield from _strategies()
