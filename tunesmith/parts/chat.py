"""Conversations to token ids, with a mark on what is learned: the assistant's replies and the token that ends each of them.

The text is what the model's own chat template makes of the messages; where a model has none, PLAIN. Whatever a message says stays
text: `<|im_end|>` in it is tokenised as the characters that it is made of.

Axes: T tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

import numpy as np

from ..errors import DataError, ModelError, listing, shorten
from ..task import Example
from . import template, tokens, tools

PLAIN = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\n' }}"
    "{% elif message['role'] == 'tool' %}{{ 'Tool: ' + message['content'] + '\n' }}"
    "{% else %}{{ 'Assistant: ' + message['content'] + eos_token + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""The template of models without one: `User: ...`, `Assistant: ...` and the end-of-text token, a line each; saved with the model."""
ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "customer": "user", "client": "user",
    "prompter": "user", "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "model": "assistant", "ai": "assistant", "agent": "assistant",
}  # fmt: skip
"""Names of roles in the formats about, in lower case, and what they are called here."""
RESULTS = frozenset(("tool", "function", "observation", "ipython"))
"""Names of the role that says what a call gave."""
CALLING = frozenset(("function_call", "tool_calls", "tool_call"))
"""Names of roles whose content is the assistant's call."""
KEYS = (("role", "content"), ("from", "value"), ("speaker", "utterance"), ("speaker", "text"), ("role", "text"), ("role", "value"))
"""Names of a message's two entries: OpenAI's, ShareGPT's, and others."""
THOUGHTS = ("reasoning_content", "thinking")
"""Entries of a message with what was thought before it was said; a template knows one of them, so that a message gets both."""
PRIVATE = 0xF0000
"""Characters of private use, from here on, stand for control strings in a message while the template runs."""

EXPECTED = {
    "bad-messages": ("messages with a role and a content", "write each as {\"role\": \"user\", \"content\": \"...\"}"),
    "unknown-role": ("the roles system, user, assistant and tool", "rename the role"),
    "role-order": ("user and assistant in turns, system only first, a tool's results after its call", "join or reorder the messages"),
    "empty-reply": ("a text in each of the assistant's messages", "take the row out, or end it before that message"),
    "bad-tools": (
        "tools with a name, and calls with a name and arguments that are an object",
        "write each as {\"type\": \"function\", \"function\": {\"name\": \"...\", \"arguments\": {}}}",
    ),
    "no-reply": ("a message of the assistant, which is what is learned", "take the row out"),
}  # fmt: skip
"""What is wrong with messages: what was expected, what to do."""


@final
@dataclass(frozen=True)
class Turn:
    """A text for the model, and where in it what is learned stands (characters)."""

    text: str
    spans: tuple[tuple[int, int, int], ...]
    """Begin, end of the words, end of the token behind them that ends the reply."""
    hidden: tuple[str, ...] = ()
    """Control strings that messages hold: the n-th stands in the text as the character PRIVATE + n."""


# -- messages ----------------------------------------------------------------------------------------------------------


def read(cell: Any) -> tuple[list[dict[str, Any]], str, str]:
    """Messages as `{"role", "content"}`, and what is wrong with them: a code and a sentence's object; empty where nothing is.

    A text alone is a user's message, or JSON of a list.
    """
    if isinstance(cell, str):
        if not cell.lstrip().startswith("["):
            return [{"role": "user", "content": cell}], "", ""
        try:
            cell = json.loads(cell)
        except ValueError:
            return [], "bad-messages", f"JSON that is broken: {shorten(cell)!r}"
    if not isinstance(cell, list | tuple) or not cell:
        return [], "bad-messages", "an empty cell" if not cell else shorten(repr(cell))
    found = []
    for number, one in enumerate(cell, 1):
        message, code, got = _message(one)
        if code:
            return [], code, f"{got} in message {number}"
        found.append(message)
    return found, *_order(found)


def _message(one: Any) -> tuple[dict[str, Any], str, str]:
    if not isinstance(one, Mapping):
        return {}, "bad-messages", shorten(repr(one))
    made, wrong = tools.calls(one)
    if wrong:
        return {}, "bad-tools", wrong
    one = {**one, "content": one.get("content") or ""} if made else one
    keys = next(((role, content) for role, content in KEYS if one.get(role) is not None and one.get(content) is not None), None)
    if keys is None:
        return {}, "bad-messages", f"the entries {listing([key for key, value in one.items() if value is not None]) or '(none)'}"
    role, value = str(one[keys[0]]).strip().lower(), one[keys[1]]
    if role in CALLING:
        called = tools.call(value)
        return ({"role": "assistant", "content": "", "tool_calls": [called]}, "", "") if called else ({}, "bad-tools", shorten(repr(value)))
    if role in RESULTS:
        return _result(one, value)
    if role not in ROLES:
        return {}, "unknown-role", f"the role {shorten(one[keys[0]])!r}"
    if made and ROLES[role] != "assistant":
        return {}, "role-order", f"a call by the role {role!r}"
    content = _content(value)
    if content is None:
        return {}, "bad-messages", f"a content that is no text: {shorten(repr(value))}"
    more = {"tool_calls": made} if made else {}
    thought = next((one[key] for key in THOUGHTS if isinstance(one.get(key), str) and one[key].strip()), "")
    more |= dict.fromkeys(THOUGHTS, tokens.mended(thought)) if thought else {}
    return {"role": ROLES[role], "content": content, **more, **({"weight": 0} if one.get("weight") == 0 else {})}, "", ""


def _result(one: Mapping[str, Any], value: Any) -> tuple[dict[str, Any], str, str]:
    """What a call gave: as text, or as JSON of what is none."""
    content = _content(value)
    named = {key: one[key] for key in ("name", "tool_call_id") if isinstance(one.get(key), str)}
    return {"role": "tool", "content": json.dumps(value, ensure_ascii=False) if content is None else content, **named}, "", ""


def _content(value: Any) -> str | None:
    """Text, or the text parts of a list of parts."""
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in value):
        return str(tokens.mended("".join(part["text"] for part in value)))
    return tokens.mended(value) if isinstance(value, str) else None


def _order(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    roles = [message["role"] for message in messages]
    late = [i for i, role in enumerate(roles) if role == "system" and i]
    if late:
        return "role-order", f"a system message as message {late[0] + 1}"
    same = [i for i in range(1, len(roles)) if roles[i] == roles[i - 1] != "tool"]
    if same:
        return "role-order", f"two {roles[same[0]]} messages in a row (messages {same[0]} and {same[0] + 1})"
    stray = [i for i, role in enumerate(roles) if role == "tool" and not _called(messages, i)]
    if stray:
        return "role-order", f"a tool's result that nobody called for (message {stray[0] + 1})"
    blank = [i for i, message in enumerate(messages) if message["role"] == "assistant" and not said_in(message).strip()]
    return ("empty-reply", f"an empty reply (message {blank[0] + 1})") if blank else ("", "")


def _called(messages: Sequence[Mapping[str, Any]], at: int) -> bool:
    before = next((m for m in reversed(messages[:at]) if m["role"] != "tool"), None)
    return before is not None and "tool_calls" in before


def said_in(message: Mapping[str, Any]) -> str:
    """A message's words, and its calls as JSON."""
    return "\n".join(part for part in (message["content"], tools.said(message.get("tool_calls", ()))) if part)


def replies(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the assistant says and is learned, calls included."""
    return [said_in(message) for message in messages if _learned(message)]


def _learned(message: Mapping[str, Any]) -> bool:
    """Whether a message is a reply that is learned: OpenAI's `weight` of 0 says that it is not."""
    return message["role"] == "assistant" and message.get("weight") != 0


def read_only(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with replies that are read, not learned."""
    return [{**message, "weight": 0} if message["role"] == "assistant" else dict(message) for message in messages]


def last_only(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages, of which only what the assistant says after the user's last words is learned."""
    last = max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=0)
    start = max((i for i, message in enumerate(messages[:last]) if message["role"] == "user"), default=0)
    return [*read_only(messages[:start]), *map(dict, messages[start:])]


# -- text --------------------------------------------------------------------------------------------------------------


def template_of(tokenizer: Any, calling: bool = False) -> str:
    """The model's chat template, of several the one called default, or that for tools; PLAIN where it has none."""
    found = getattr(tokens.tokenizer_of(tokenizer), "chat_template", None)
    if isinstance(found, Mapping):
        found = (found.get("tool_use") if calling else None) or found.get("default") or next(iter(found.values()), None)
    return found or PLAIN


def dress(tokenizer: Any) -> None:
    """Give a tokenizer without a chat template the plain one, so that it is saved with the model that learned it."""
    inner = tokens.tokenizer_of(tokenizer)
    if not getattr(inner, "chat_template", None):
        inner.chat_template = PLAIN


def turns(tokenizer: Any, messages: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]] = ()) -> list[Turn]:
    """The conversation with all its replies; one text for each reply where the template writes history otherwise (thoughts left out).

    `given`: the tools that the assistant may call. Raises template.Refused where the template does not take the messages, ModelError
    where it is broken or ends replies with nothing.
    """
    (told, given), hidden = _hidden(tokenizer, (messages, given))
    whole, found = _render(tokenizer, told, False, given), []
    for number, message in enumerate(told):
        if not _learned(message):
            continue
        asked, said = (_render(tokenizer, told[: number + more], not more, given) for more in (0, 1))
        found.append((said, _span(tokenizer, asked, said)))
    if all(whole.startswith(said) for said, _ in found):
        return [Turn(whole, tuple(span for _, span in found), hidden)]
    return [Turn(said, (span,), hidden) for said, span in found]


def asked(tokenizer: Any, messages: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]] = ()) -> Turn:
    """The conversation up to where the assistant is to answer."""
    (told, given), hidden = _hidden(tokenizer, (messages, given))
    return Turn(_render(tokenizer, told, True, given), (), hidden)


def ignored(tokenizer: Any, messages: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]) -> str:
    """What of tools, calls and results the template does not write; nothing where all of it stands in the text. Raises template.Refused."""
    whole = _render(tokenizer, messages, False, given)
    named = {"the tools": [one["function"]["name"] for one in given]}
    named["calls"] = [one["function"]["name"] for m in messages for one in m.get("tool_calls", ())]
    lost = [what for what, names in named.items() if not all(name in whole for name in names)]
    bare = [{key: value for key, value in m.items() if key != "tool_calls"} for m in messages]
    if named["calls"] and not lost and given and _render(tokenizer, bare, False, given) == whole:
        lost.append("calls")
    return " and ".join([*lost, *(["results"] if any(m["role"] == "tool" and m["content"].strip() not in whole for m in messages) else [])])


def unthought(tokenizer: Any, messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the template leaves out what was thought before a reply that is learned. Raises template.Refused."""
    thoughts = [(n, message[THOUGHTS[0]].strip()) for n, message in enumerate(messages) if _learned(message) and THOUGHTS[0] in message]
    return any(thought not in _render(tokenizer, messages[: n + 1], False) for n, thought in thoughts)


def unwritten(place: str, lost: str) -> DataError:
    """The error where a template leaves out what `ignored` says."""
    return DataError(
        place, expected="a chat template that writes tools, calls and their results", got=f"the model's, which leaves out {lost}",
        fix="use a model made for tools (a Qwen or Llama 3 Instruct, SmolLM3), or take them out of the rows", code="template-ignores-tools",
    )  # fmt: skip


def untaken(place: str, refused: template.Refused) -> DataError:
    """The error where a template refuses messages."""
    return DataError(
        place, expected="messages that the model's chat template takes", got=f"its refusal: {refused}",
        fix="mend the roles, or use a model with another template", code="template-refused",
    )  # fmt: skip


def end_of_turn(tokenizer: Any) -> int:
    """The token that ends a reply. Raises ModelError (`no-end-of-turn`) where the template has none: such a model would never stop."""
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    turn = turns(tokenizer, messages)[0]
    ids, _ = _tokens(tokens.tokenizer_of(tokenizer), turn.text[: turn.spans[0][2]], ())
    return int(ids[-1])


def _render(tokenizer: Any, messages: Sequence[Mapping[str, Any]], prompt: bool, given: Sequence[Mapping[str, Any]] = ()) -> str:
    inner = tokens.tokenizer_of(tokenizer)
    names = {name: getattr(inner, name, None) or "" for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    return template.render(template_of(inner, bool(given)), messages, prompt=prompt, names=names | {"tools": list(given) or None})


def _span(tokenizer: Any, before: str, after: str) -> tuple[int, int, int]:
    """Where a reply stands in `after`, given the text that asks for it."""
    start = len(before)
    if not after.startswith(before):  # the question may end with more than the answer keeps (`<think>`)
        start = next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
    marks = list(_control(tokenizer).finditer(after, start))
    if not marks:
        raise ModelError(
            "the model's chat template",
            expected="a token that ends each reply, so that the model learns to stop",
            got=f"{after[start:][-40:]!r} at a reply's end",
            fix="add the end-of-text token to the template, or take the template out: a plain one is used then",
            code="no-end-of-turn",
        )
    return start, marks[-1].start(), marks[-1].end()


def _control(tokenizer: Any) -> re.Pattern[str]:
    return control(tokens.tokenizer_of(tokenizer))


@lru_cache(maxsize=4)
def control(inner: Any) -> re.Pattern[str]:
    """Every string that a tokenizer turns into one token of its own, special or not."""
    names = {*inner.all_special_tokens, *(str(added) for added in inner.added_tokens_decoder.values())}
    return re.compile("|".join(re.escape(name) for name in sorted(names, key=lambda n: (-len(n), n)) if name) or r"(?!)")


def _hidden(tokenizer: Any, given: Any) -> tuple[Any, tuple[str, ...]]:
    """Messages and tools with control strings replaced by characters that nobody writes, and those strings."""
    control = _control(tokenizer)
    names = list(dict.fromkeys(found[0] for text in _texts(given) for found in control.finditer(text)))
    stands = {name: chr(PRIVATE + number) for number, name in enumerate(names)}
    return _mapped(given, lambda text: control.sub(lambda found: stands[found[0]], text)) if names else given, tuple(names)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        return
    parts = [*value, *value.values()] if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        yield from _texts(part)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): _mapped(part, change) for key, part in value.items()}
    return [_mapped(part, change) for part in value] if isinstance(value, list | tuple) else value


# -- tokens ------------------------------------------------------------------------------------------------------------


def example(tokenizer: Any, turn: Turn, most: int) -> Example:
    """`input_ids` (T,), `learn` (T,) 1 where a token is learned, `bytes`: of the words that are. What is beyond `most` tokens is cut."""
    ids_T, offsets_T2 = _tokens(tokens.tokenizer_of(tokenizer), turn.text, turn.hidden)
    ids_T, offsets_T2 = ids_T[:most], offsets_T2[:most]
    learn_T = np.zeros(len(ids_T), np.uint8)
    for start, _, stop in turn.spans:
        learn_T |= ((offsets_T2[:, 0] >= start) & (offsets_T2[:, 1] <= stop) & (offsets_T2[:, 0] < stop)).astype(np.uint8)
    end = int(offsets_T2[-1, 1]) if len(ids_T) else 0
    said = "".join(turn.text[start : min(words, end)] for start, words, _ in turn.spans if start < end)
    return {"input_ids": ids_T, "learn": learn_T, "bytes": len(_shown(said, turn.hidden).encode("utf-8", "replace"))}


def ids_of(tokenizer: Any, turn: Turn) -> np.ndarray:
    """(T,) int32."""
    return _tokens(tokens.tokenizer_of(tokenizer), turn.text, turn.hidden)[0]


def marked(tokenizer: Any, turn: Turn, most: int) -> list[tuple[str, bool]]:
    """The text in stretches: what the model reads, and whether it learns it."""
    ids_T, offsets_T2 = _tokens(tokens.tokenizer_of(tokenizer), turn.text, turn.hidden)
    learn_T = example(tokenizer, turn, most)["learn"]
    ends = [0, *(int(offsets_T2[i, 0]) for i in range(1, len(learn_T)) if learn_T[i] != learn_T[i - 1])]
    ends.append(int(offsets_T2[len(learn_T) - 1, 1]) if len(learn_T) else 0)
    kinds = [bool(learn_T[0])] if len(learn_T) else []
    for _ in ends[2:]:
        kinds.append(not kinds[-1])
    return [(_shown(turn.text[a:b], turn.hidden), kind) for a, b, kind in zip(ends, ends[1:], kinds)]


def _shown(text: str, hidden: Sequence[str]) -> str:
    for number, name in enumerate(hidden):
        text = text.replace(chr(PRIVATE + number), name)
    return text


def _tokens(tokenizer: Any, text: str, hidden: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(T,) ids and (T, 2) begin and end in the text. Control tokens of the template count as such, those in `hidden` do not."""
    backend = tokens.backend_of(tokenizer)
    stands = {chr(PRIVATE + number): name for number, name in enumerate(hidden)}
    parts = re.split(f"([{''.join(stands)}])", text) if stands else [text]
    ids: list[int] = []
    offsets: list[tuple[int, int]] = []
    at = 0
    with tokens.truncating(tokenizer, backend, None):
        for part in parts:
            if part in stands:
                found = backend.encode(*tokens.split(tokenizer, stands[part]), is_pretokenized=True, add_special_tokens=False)
                offsets += [(at, at + 1)] * len(found.ids)
            elif part:
                backend.encode_special_tokens = False
                found = backend.encode(part, add_special_tokens=False)
                backend.encode_special_tokens = True
                offsets += [(at + a, at + b) for a, b in found.offsets]
            ids += found.ids if part else []
            at += len(part)
    return np.array(ids, np.int32), np.array(offsets, np.int64).reshape(-1, 2)
