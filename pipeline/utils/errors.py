"""What can go wrong, in one family.

Every error that a user can cause is a :class:`SatpipeError`: one sentence on what happened, where, and what to do.
The command line prints that sentence and ends with ``exit_code``; anything else is a defect and shows a traceback.
"""

from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Iterator

MOST_CHARACTERS = 1000


def one_line(text: str, most: int = MOST_CHARACTERS) -> str:
    """The text on one line, without what acts on a terminal, and not longer than ``most`` characters.

    Names of files and values of configurations are other people's: they may hold line ends, escape sequences and marks
    that turn the direction of writing.
    """
    text = " ".join(text.split())
    text = "".join("\N{REPLACEMENT CHARACTER}" if _acts(one) else one for one in text)
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def first_line(error: BaseException, most: int | None = None) -> str:
    """The first line of what an error says, at most ``most`` characters of it; its kind where it says nothing."""
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__)[:most]


def _acts(character: str) -> bool:
    """Whether a character is a control character, a half of a pair, or turns the direction of writing."""
    turns = "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
    return turns or unicodedata.category(character) in ("Cc", "Cs")


class SatpipeError(Exception):
    """Base of all errors that a user can cause and mend; its message is brought to one line."""

    exit_code = 2

    def __init__(self, message: object = "", *more: object) -> None:
        super().__init__(one_line(str(message)), *more)


class ConfigError(SatpipeError):
    """A configuration that cannot be used: names the key, the file and the nearest valid key."""


class InputError(SatpipeError):
    """A scene, label file or folder that cannot be used, and why. Ingest turns it into a quarantine row."""


class TooLittleDataError(SatpipeError):
    """What was read is valid, but too few groups, classes or chips for the experiment that was asked for."""


class StoreError(SatpipeError):
    """The store of parts cannot be read or written: tampered, of another version, full, or not permitted."""


class CorruptedError(StoreError):
    """Committed content is not what was committed: damaged, changed or deleted since.

    Attributes:
        stage: Stage of the part.
        digest: Digest of what was committed.
    """

    def __init__(self, message: str, stage: str, digest: str) -> None:
        super().__init__(message, stage, digest)  # all of them, so that it survives the way from a worker
        self.stage = stage
        self.digest = digest

    def __str__(self) -> str:
        return str(self.args[0])


class StoreLockedError(StoreError):
    """Another process is writing to the same store."""


class HostError(StoreError):
    """This host cannot make a part that another one may be able to make."""


class TaskFailedError(SatpipeError):
    """The maker of a part failed; the message's first line holds its own sentence and the name of the part."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        first, end, detail = message.partition("\n")
        Exception.__init__(self, one_line(first) + end + detail)


class TrainingError(SatpipeError):
    """A training that diverged more often than the configuration allows, or cannot run on this device."""

    exit_code = 1


_WAYS_OUT = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room, or have the quota raised",
    errno.EFBIG: "use a file system without that limit",
    errno.EROFS: "make it writable, or choose another --root",
    errno.EACCES: "make it readable and writable, or choose another --root",
    errno.EPERM: "make it readable and writable, or choose another --root",
    errno.EIO: "check the disk",
    errno.ESTALE: "check the network file system",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of open files",
    errno.ENOMEM: "lower compute.workers",
}
"""Troubles of the machine that a person can mend, by error number."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def os_error_hint(error: BaseException) -> str | None:
    """What the machine refused and what to do, if that is behind an error; None where it is a defect of ours.

    Libraries turn an error number of the system into errors of their own, some only into text: the whole chain is
    looked at, and the texts that the system has for its error numbers.
    """
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _WAYS_OUT:
            where = f"{one.filename}: " if one.filename else ""
            return f"{where}{os.strerror(one.errno)}; {_WAYS_OUT[one.errno]}"
    for one in _chain(error):
        for number, way_out in _WAYS_OUT.items():
            if number != errno.ENOMEM and os.strerror(number) in str(one):
                return f"{os.strerror(number)}; {way_out}"
    return None
