"""Errors that a user can fix, and how a full disk is recognised."""

import errno
from collections.abc import Callable
from typing import NoReturn, ParamSpec

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Messages of libraries that raise no OSError when they cannot write (the last is torch.save's).
NO_ROOM_WORDS = (
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "inline_container.cc",
)


Arguments = ParamSpec("Arguments")


class StrataError(Exception):
    """Something the user can fix; the message is one sentence and says how."""


def always_raises(helper: Callable[Arguments, NoReturn]) -> Callable[Arguments, NoReturn]:
    """Mark a function that only raises a StrataError.

    Its arguments are a message, on which results do not depend (see ``code_hash``).
    """
    return helper


def lacks_room(error: BaseException | None) -> bool:
    if error is None:
        return False
    told = any(words in str(error) for words in NO_ROOM_WORDS)
    return told or getattr(error, "errno", None) in NO_ROOM or lacks_room(error.__context__)
