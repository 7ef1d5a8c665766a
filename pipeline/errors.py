"""What can go wrong, in one family.

Every error that a user can cause is a :class:`SatpipeError`: one sentence on what happened, where, and what to do.
The command line prints that sentence and ends with ``exit_code``; anything else is a defect and shows a traceback.
"""

from __future__ import annotations


class SatpipeError(Exception):
    """Base of all errors that a user can cause and mend."""

    exit_code = 2


class ConfigError(SatpipeError):
    """A configuration that cannot be used: names the key, the file and the nearest valid key."""


class InputError(SatpipeError):
    """A scene, label file or folder that cannot be used, and why. Ingest turns it into a quarantine row."""


class TooLittleDataError(SatpipeError):
    """What was read is valid, but too few groups, classes or chips for the experiment that was asked for."""


class StoreError(SatpipeError):
    """The store of parts cannot be read or written: tampered, of another version, full, or not permitted."""


class StoreLockedError(StoreError):
    """Another process is writing to the same store."""


class PartFailedError(SatpipeError):
    """The maker of a part failed; the message holds its own sentence and the name of the part."""

    exit_code = 1


class TrainingError(SatpipeError):
    """A training that diverged more often than the configuration allows, or cannot run on this device."""

    exit_code = 1
