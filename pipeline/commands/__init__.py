"""Commands that only some calls need, each in a module of its own that is imported when it is called.

A module here defines ``command``, a click command, and imports nothing heavy at its top: `satpipe --help` loads all of
them for their first lines. :data:`COMMANDS` is the table of their names.
"""

from __future__ import annotations

COMMANDS: dict[str, str] = {
    "chips": "chips",
    "compare": "compare",
    "completion": "completion",
    "detect": "detect",
    "doctor": "doctor",
    "export": "export",
    "generate": "generate",
    "init": "init",
    "sweep": "sweep",
}
"""Module in this package for each command's name."""
