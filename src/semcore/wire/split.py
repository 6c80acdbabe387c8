"""A request in two, as a cache takes it: what must be equal, and what is searched for by meaning."""

from __future__ import annotations

from typing import Any

from semcore.wire.canonical import canonical_body
from semcore.wire.question import Unreadable
from semcore.wire.turn import last_user_text


def split(api: str, body: Any) -> tuple[bytes, str]:
    """The canonical body without the user's last text, and the text; "" where it is part of the body.

    Raises Unreadable.
    """
    try:
        text, context = last_user_text(api, body)
        return canonical_body(context), text or ""
    except ValueError as error:
        raise Unreadable(str(error)) from error
