"""What a request asks: the text of its last message when that is the user's, and all the rest.

The text is what is searched for by meaning, the rest is what must be equal. So there is a text only where it
alone says what is new: a string, content blocks that are all text, or one block of text behind images and
files. Whatever else the last message is (a tool's result, blocks of a kind not known here), the request has
no text and is found by all of it or not at all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

GAP = b""  # where the text was: bytes, which no JSON has
BETWEEN = "\n\x1e\n"  # joins the texts of several blocks; a text with it inside is not joined


class Question(NamedTuple):
    """A request in two.

    Args:
        text: of the last message; None: it is not the user's, or not made of text as above.
        context: the body with `GAP` in the place of the text; the whole body when there is none. What
            `canonical_body` takes.
    """

    text: str | None
    context: dict[str, Any]


class _Api(NamedTuple):
    turns: str  # the field with the messages
    content: str = "content"  # their field with the text or the blocks
    texts: tuple[str, ...] = ("text",)  # kinds of blocks
    files: tuple[str, ...] = ()
    alone: bool = False  # may the field be one string?


_APIS = {
    "openai-chat": _Api("messages", files=("image_url", "input_audio", "file")),
    "openai-responses": _Api(
        "input",
        texts=("input_text", "text"),
        files=("input_image", "input_audio", "input_file"),
        alone=True,
    ),
    "openai-completions": _Api("prompt", alone=True),
    "anthropic": _Api("messages", files=("image", "document")),
    "gemini": _Api("contents", "parts", files=("inlineData", "inline_data", "fileData", "file_data")),
}
APIS = tuple(_APIS)
NOTES = frozenset(("thought", "thoughtSignature", "videoMetadata", "mediaResolution"))  # of Gemini's parts


def last_user_text(api: str, body: Any) -> Question:
    """Takes a request's last text out of it. The body is not changed.

    Args:
        api: one of `APIS`.
        body: its parsed JSON.

    Raises:
        ValueError: the body is not one of this API: which field, and what was expected.
    """
    if api not in _APIS:
        raise ValueError(f"api: expected one of {', '.join(APIS)}, got {api!r}")
    if not isinstance(body, dict):
        raise ValueError(f"body: expected an object, got {type(body).__name__}")
    shape = _APIS[api]
    turns = body.get(shape.turns)
    if shape.alone and isinstance(turns, str):
        return Question(turns, body | {shape.turns: GAP}) if turns.strip() else Question(None, body)
    if not isinstance(turns, list) or not turns:
        raise ValueError(f"{shape.turns}: expected a list that is not empty, got {turns!r:.40}")
    if api == "openai-completions":  # several prompts, or tokens
        return Question(None, body)
    if not isinstance(turns[-1], dict):
        raise ValueError(f"{shape.turns}: expected objects, the last is {type(turns[-1]).__name__}")
    text, content = _taken(shape, turns[-1])
    if text is None or not text.strip():
        return Question(None, body)
    return Question(text, body | {shape.turns: [*turns[:-1], turns[-1] | {shape.content: content}]})


def _taken(shape: _Api, message: dict[str, Any]) -> tuple[str | None, Any]:
    """The text of a message, and its content with gaps."""
    content = message.get(shape.content)
    if content is not None and not isinstance(content, (str, list)):
        raise ValueError(f"{shape.content}: expected a string or a list, got {type(content).__name__}")
    if message.get("role", "user" if shape.content == "parts" else None) != "user":
        return None, content
    if not isinstance(content, list):
        return content, GAP
    kinds = [_kind(shape, block) for block in content]
    texts = [block["text"] for block, kind in zip(content, kinds, strict=True) if kind == "text"]
    all_text = len(texts) == len(kinds)
    if not texts or not (all_text or (len(texts) == 1 and kinds[-1] == "text" and None not in kinds)):
        return None, content
    text = BETWEEN.join(texts)
    if text.split(BETWEEN) != texts:
        return None, content
    gaps = [
        block | {"text": GAP} if kind == "text" else block for block, kind in zip(content, kinds, strict=True)
    ]
    return text, gaps


def _kind(shape: _Api, block: Any) -> str | None:
    """ "text", "file", or None: another."""
    if not isinstance(block, dict):
        return None
    kind = block.get("type")
    if shape.content == "parts":  # Gemini's have no type, but one field
        named = block.keys() - NOTES
        kind = named.pop() if len(named) == 1 else None
    if kind in shape.texts:
        return "text" if isinstance(block.get("text"), str) else None
    return "file" if kind in shape.files else None
