"""Errors, and how they are worded.

Every error that a user can cause is a :class:`SatpipeError`: one sentence on what happened, where, and what to do.
The command line prints that sentence and ends with ``exit_code``; anything else is a bug and shows a traceback.
"""

from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Iterator

MAX_CHARACTERS = 1000


def one_line(text: str, max_characters: int = MAX_CHARACTERS) -> str:
    """Return the text on one line, without control characters, at most about ``max_characters`` long.

    Names of files and values of configurations are other people's: they may hold line ends, escape sequences and marks
    that turn the direction of writing.
    """
    text = without_controls(" ".join(text.split()))
    half = max_characters // 2
    return text if len(text) <= max_characters else f"{text[:half]} ... {text[-half:]}"


def without_controls(text: str, keep: str = "") -> str:
    """Return the text with each character that acts on a terminal replaced, except those in ``keep``."""
    if text.isprintable():  # quick, and true of most
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if _acts(char) and char not in keep else char for char in text)


def first_line(error: BaseException, max_characters: int | None = None) -> str:
    """Return the first line of an error's message, or its type if there is none, cut to ``max_characters``."""
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__)[:max_characters]


def _acts(character: str) -> bool:
    """Return whether a character is a control character, a surrogate, or turns the direction of writing."""
    turns = "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
    return turns or unicodedata.category(character) in ("Cc", "Cs")


class SatpipeError(Exception):
    """Base of all errors that a user can cause and correct; its message is one line."""

    exit_code = 2

    def __init__(self, message: object = "", *more: object) -> None:
        super().__init__(one_line(str(message)), *more)


class SatpipeWarning(FutureWarning):
    """Warning of something that users should know though all goes well, such as a renamed key; one sentence."""


class ConfigError(SatpipeError):
    """A configuration that cannot be used: names the key, the file and the nearest valid key."""


class InputError(SatpipeError):
    """A scene, label file or folder that cannot be used, and why. Ingest turns it into a quarantine row."""


class TooLittleDataError(SatpipeError):
    """Valid data, but too few groups, classes or chips for the experiment that was asked for."""


class StoreError(SatpipeError):
    """Failure to read or write the store: tampered with, of another version, full, or not permitted."""


class CorruptedError(StoreError):
    """Committed content is not what was committed: damaged, changed or deleted since.

    Attributes:
        stage: Stage of the artifact.
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
    """This host cannot run a task that another one may be able to run."""


class TaskFailedError(SatpipeError):
    """A task function failed; the first line of the message names the task and the error, the rest is its traceback."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        first, end, detail = message.partition("\n")
        Exception.__init__(self, one_line(first) + end + detail)


class TrainingError(SatpipeError):
    """A training that diverged more often than the configuration allows, or cannot run on this device."""

    exit_code = 1


_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "free some space, or have the quota raised",
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
"""What to do about errors of the operating system that a person can correct, by error number."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    visited: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in visited:
        visited.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def os_error_hint(error: BaseException) -> str | None:
    """Return what the operating system refused and what to do, if that caused an error; None for any other error.

    Libraries turn an error number of the system into errors of their own, some only into text: the whole chain is
    searched, also for the texts that the system has for its error numbers.
    """
    for link in _chain(error):
        if isinstance(link, OSError) and link.errno in _REMEDIES:
            where = f"{link.filename}: " if link.filename else ""
            return f"{where}{os.strerror(link.errno)}; {_REMEDIES[link.errno]}"
    for link in _chain(error):
        for number, remedy in _REMEDIES.items():
            if number != errno.ENOMEM and os.strerror(number) in str(link):
                return f"{os.strerror(number)}; {remedy}"
    return None
