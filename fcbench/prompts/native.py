"""Messages and tools themselves, as OpenAI's chat endpoint takes them: the server does the rest.

Source: the request body of OpenAI's Create chat completion. The server's own chat template writes
the prompt and its own parser reads the calls, as in a deployment.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fcbench.prompts._case_text import conversation, openai_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.prompts._style import Style
    from fcbench.types import Case, Json

NATIVE = True


def render(case: Case, examples: Sequence[Case], style: Style) -> str:
    """Return the `messages` and `tools` of a request as JSON; no `tools` where there are none.

    The messages are those that the chat prompt is made of, so that a server which renders the same
    template asks the model the same.
    """
    messages = style.wire.prepare_messages(conversation(case, examples, style.wire.TRIGGER))
    tools = openai_tools(case)
    body = {"messages": _on_the_wire(messages), **({"tools": tools} if tools else {})}
    return json.dumps(body, ensure_ascii=False)


def _on_the_wire(messages: Sequence[dict[str, Json]]) -> list[dict[str, Json]]:
    """Return messages as the endpoint wants them: texts are strings, calls and results have ids."""
    written = []
    waiting: list[str] = []  # ids of calls without a result
    n_calls = 0
    for message in messages:
        sent: dict[str, Any] = dict(message)
        calls: list[dict[str, Json]] = []
        for call in message.get("tool_calls") or []:
            n_calls += 1
            # Nine letters or digits are what Mistral's template accepts.
            id = str(call.get("id") or f"call{n_calls:05d}")
            function = call["function"]
            arguments = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
            called = {"name": function["name"], "arguments": arguments}
            calls.append({"id": id, "type": "function", "function": called})
        if calls:
            sent["tool_calls"] = calls
            waiting = [str(call["id"]) for call in calls]
        if message["role"] == "tool":
            in_order = waiting.pop(0) if waiting else "call00000"
            sent.setdefault("tool_call_id", in_order)
        if not isinstance(sent.get("content") or "", str):
            sent["content"] = json.dumps(sent["content"], ensure_ascii=False)
        sent.setdefault("content", None if calls else "")
        written.append(sent)
    return written
