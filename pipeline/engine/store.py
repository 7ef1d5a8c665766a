"""Parts on disk: content by digest, records by key, commits that are whole or absent.

Layout below the root (``data/``)::

    store.json                       version of this layout
    parts/<stage>/<digest>/          what a maker wrote, and manifest.json with size and SHA-256 of each file
    records/<stage>/<key>.json       which key led to which digest, from what, when, in how many seconds
    work/<key>/                      checkpoints and progress of parts that are being made
    runs/<run>.json                  which keys a run used last
    logs/, cache/                    for people; for speed

A commit writes a temporary folder, syncs it, renames it into place and writes the record last: a record never exists
without what it records. Content is verified against its manifest when it is opened for work; :meth:`Store.is_current`
looks at sizes and times and reads a file only where these changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..utils.atomic_files import make_folder, sync_file, sync_folder, write_atomic
from ..utils.errors import CorruptedError, StoreError, StoreLockedError, os_error_hint
from ..utils.redact import redacted
from .task import METADATA, ArtifactRef, Task

MARKER = "store.json"
"""File that says in which version of the layout a store was written."""
VERSION = 1
MANIFEST = "manifest.json"
DIGEST_LENGTH = 32
HOLDER_TRIES = 20
HOLDER_WAIT_S = 0.05
_OTHER_STORE = "use the satpipe that made it, or another --root"
_VERIFIED: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
"""Size and time of each file of the content that this process has verified, by store and digest."""


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical(data: Any) -> bytes:
    """The one JSON text of ``data``: sorted keys, no spaces, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(data: Any) -> str:
    """Digest of JSON data, in hexadecimal, as keys and parts use it."""
    return hashlib.sha256(canonical(data)).hexdigest()[:DIGEST_LENGTH]


@dataclass(frozen=True)
class Record:
    """What is known of a committed part.

    Attributes:
        key: Digest of ``components``.
        stage: Stage of the part.
        name: Name within the stage.
        digest: Digest of the content.
        components: What the key was made from.
        files: Size in bytes and modification time in ns of each file, as last verified.
        seconds: How long the maker ran.
        made_at: When it was committed, in seconds since the epoch.
    """

    key: str
    stage: str
    name: str
    digest: str
    components: Mapping[str, Any]
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    seconds: float = 0.0
    made_at: float = 0.0

    @property
    def ref(self) -> ArtifactRef:
        """The content it leads to."""
        return ArtifactRef(self.stage, self.name, self.digest)


def _manifest_text(manifest: Mapping[str, Any]) -> bytes:
    return canonical({"files": manifest}) + b"\n"


def is_alive(pid: int) -> bool:
    """Whether a process of this host runs; where that cannot be asked without harm, it is taken to."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _files_below(folder: Path) -> dict[str, Path]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: files[name] for name in sorted(files) if name != MANIFEST}


def stamp_of(path: Path) -> tuple[int, ...]:
    """Size, time of modification and of the last change of any kind, which nobody can set back, of a file."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _stat(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


class Store:
    """The store of parts below one folder; several runs share it."""

    def __init__(self, root: Path) -> None:
        """Open the store at ``root``, without making it.

        Raises:
            StoreError: If it was written by another version of this layout.
        """
        self.root = root
        self.artifacts = root / "parts"
        self._verified = _VERIFIED.setdefault(str(root.absolute()), {})
        marker = root / MARKER
        try:
            version = json.loads(marker.read_text("utf-8"))["version"]
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"the store {root} cannot be read: {os_error_hint(error) or error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{marker} is damaged; move {root} away or choose another --root") from None
        if version != VERSION:
            age = "an earlier" if isinstance(version, int) and version < VERSION else "another"
            raise StoreError(
                f"{root} was written in version {version!r} of the store's layout, {age} one than this satpipe's"
                f" ({VERSION}); {_OTHER_STORE}"
            )

    @property
    def is_there(self) -> bool:
        """Whether the store was made already."""
        return (self.root / MARKER).exists()

    def create(self) -> None:
        """Make the folders of the store, if they are not there.

        Raises:
            StoreError: If that is not permitted, there is no room, or parts are there whose layout nobody knows.
        """
        try:
            if not self.is_there and any(self.artifacts.glob("[!.]*")):
                raise StoreError(f"{self.root} holds parts but no {MARKER}; {_OTHER_STORE}")
            for name in ("parts", "records", "work", "runs", "logs", "cache"):
                make_folder(self.root / name)
            if not self.is_there:
                write_atomic(self.root / MARKER, canonical({"version": VERSION}) + b"\n")
        except OSError as error:
            raise StoreError(f"the store {self.root} cannot be written: {os_error_hint(error) or error}") from None

    # ------------------------------------------------------------------------------------------------ places

    def folder(self, ref: ArtifactRef) -> Path:
        """Folder of committed content."""
        return self.artifacts / ref.stage / ref.digest

    def work(self, key: str) -> Path:
        """Folder for what a part under way keeps across a kill."""
        return self.root / "work" / key

    def _record_path(self, stage: str, key: str) -> Path:
        return self.root / "records" / stage / f"{key}.json"

    # ----------------------------------------------------------------------------------------------- reading

    def record(self, stage: str, key: str) -> Record | None:
        """The record of a key, or None. A record that cannot be read counts as none: its part is made again."""
        try:
            raw = json.loads(self._record_path(stage, key).read_text("utf-8"))
            files = {name: (int(size), int(mtime)) for name, (size, mtime) in raw.pop("files").items()}
            found = Record(**raw, files=files)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return found if digest_of(found.components) == key == found.key else None

    def records(self, stage: str) -> Iterator[Record]:
        """All records of a stage."""
        for path in sorted((self.root / "records" / stage).glob("*.json")):
            if (found := self.record(stage, path.stem)) is not None:
                yield found

    def is_current(self, record: Record) -> bool:
        """Whether the content of a record is there and unchanged; reads only files whose size or time changed."""
        folder = self.folder(record.ref)
        try:
            seen = {name: _stat(path) for name, path in _files_below(folder).items()}
        except OSError:
            return False
        if seen == dict(record.files) and seen:
            return self._facts_match(record.ref)
        return self._content_matches(record.ref)

    def _facts_match(self, ref: ArtifactRef) -> bool:
        """Whether a part's facts, from which planners plan, are those that were committed."""
        folder = self.folder(ref)
        try:
            manifest = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
            known = manifest.get(METADATA)
            return digest_of(manifest) == ref.digest and (known is None or known[1] == sha256_file(folder / METADATA))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            return False

    def _content_matches(self, ref: ArtifactRef) -> bool:
        folder = self.folder(ref)
        try:
            files = _files_below(folder)
            manifest = {name: [path.stat().st_size, sha256_file(path)] for name, path in files.items()}
            written = (folder / MANIFEST).read_bytes()
        except OSError:
            return False
        if not manifest or digest_of(manifest) != ref.digest or written != _manifest_text(manifest):
            return False
        self._verified[ref.digest] = {name: _stat(path) for name, path in files.items()}
        return True

    def open(self, ref: ArtifactRef) -> Path:
        """Folder of committed content, verified against its digest once per process and change.

        Raises:
            SpoiltError: If the content is missing or is not what was committed.
        """
        folder = self.folder(ref)
        try:
            seen = {name: _stat(path) for name, path in _files_below(folder).items()}
        except OSError:
            seen = {}
        if (seen and self._verified.get(ref.digest) == seen) or self._content_matches(ref):
            return folder
        raise self.corrupted(ref)

    def corrupted(self, ref: ArtifactRef) -> CorruptedError:
        """The error that says what is wrong with committed content."""
        return CorruptedError(
            f"part {ref.stage}/{ref.name} in {self.folder(ref)} is not what was committed: {self._first_change(ref)};"
            " `satpipe run all` makes it again",
            ref.stage,
            ref.digest,
        )

    def _first_change(self, ref: ArtifactRef) -> str:
        folder = self.folder(ref)
        if not folder.is_dir():
            return "the folder is missing"
        try:
            manifest = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
            if digest_of(manifest) != ref.digest:
                return f"{MANIFEST} was changed"
            for name, (size, sha256) in manifest.items():
                path = folder / name
                if not path.is_file():
                    return f"{name} is missing"
                if path.stat().st_size != size or sha256_file(path) != sha256:
                    return f"{name} was changed"
        except OSError as error:
            return f"{Path(error.filename or folder).name} cannot be read ({error.strerror})"
        except (ValueError, KeyError, TypeError, AttributeError):
            return f"{MANIFEST} was changed"
        added = sorted(set(_files_below(folder)) - set(manifest))
        return f"{added[0]} was added" if added else f"{MANIFEST} was changed"

    def discard(self, stage: str, digest: str) -> None:
        """Take spoilt content away, so that what needs it is made again."""
        corrupted = self.artifacts / f".spoilt.{digest}.{os.getpid()}"
        with suppress(FileNotFoundError):
            os.replace(self.artifacts / stage / digest, corrupted)
        self._verified.pop(digest, None)
        shutil.rmtree(corrupted, ignore_errors=True)

    # ----------------------------------------------------------------------------------------------- writing

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for writing.

        Raises:
            StoreLockedError: At once, with the holder's pid, host and command.
        """
        self.create()
        info = self.root / "lock.json"
        lock = FileLock(self.root / "store.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StoreLockedError(f"{self._who()} is writing to {self.root}; wait for it or stop it") from None
        except OSError as error:
            raise StoreError(f"the store {self.root} cannot be locked: {os_error_hint(error) or error}") from None
        try:
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "command": redacted(" ".join(sys.argv))}
            write_atomic(info, canonical(holder) + b"\n")
            self._sweep()
            yield
        finally:
            with suppress(OSError):
                info.unlink(missing_ok=True)
            lock.release()

    def holder(self) -> dict[str, Any] | None:
        """Pid, host and command of the process that writes to the store, or None if it is free."""
        try:
            holder: dict[str, Any] = json.loads((self.root / "lock.json").read_text("utf-8"))
            here = holder["host"] == socket.gethostname()
            return holder if not here or is_alive(int(holder["pid"])) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _who(self) -> str:
        """Who holds the lock. Who has just taken it has not said so yet, and the one before may not have tidied up."""
        for _ in range(HOLDER_TRIES):
            if (holder := self.holder()) is not None:
                return f"process {holder['pid']} on {holder['host']} (`{holder.get('command')}`)"
            time.sleep(HOLDER_WAIT_S)
        return "another process"

    def _sweep(self) -> None:
        """Take away what processes of this host left behind when they were killed. Only the holder of the lock does."""
        left = [*self.artifacts.glob(f".*.{socket.gethostname()}.*"), *self.artifacts.glob(".spoilt.*")]
        for kind in ("", "records/*/", "runs/", "cache/"):
            left += self.root.glob(f"{kind}.*.tmp")
        for path in left:
            pid = path.name.removesuffix(".tmp").rpartition(".")[2]
            if pid.isdigit() and not is_alive(int(pid)):
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in self.root.glob("work/*"):
            if self._is_committed(path.name):
                # Killed between the record and this.
                shutil.rmtree(path, ignore_errors=True)

    def _is_committed(self, key: str) -> bool:
        """Whether a key has a record of any stage and the content that it records."""
        stages = [path.parent.name for path in self.root.glob(f"records/*/{key}.json")]
        found = [record for stage in stages if (record := self.record(stage, key)) is not None]
        return any(self.folder(record.ref).is_dir() for record in found)

    @contextmanager
    def staging(self, key: str) -> Iterator[Path]:
        """An empty folder beside the committed parts, for a maker to write in; gone afterwards unless committed."""
        folder = self.artifacts / f".{key}.{socket.gethostname()}.{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, staged: Path, task: Task, key: str, components: Mapping[str, Any], seconds: float) -> Record:
        """Commit what a maker wrote in ``staged`` and record it under ``key``.

        Raises:
            StoreError: If there is no room or no permission; nothing is recorded then.
        """
        try:
            return self._commit(staged, task, key, components, seconds)
        except OSError as error:
            raise StoreError(
                f"part {task.title} could not be committed to {self.root}: {os_error_hint(error) or error};"
                " then `satpipe run all` goes on"
            ) from None

    def _commit(self, staged: Path, task: Task, key: str, components: Mapping[str, Any], seconds: float) -> Record:
        files = _files_below(staged)
        manifest = {name: [path.stat().st_size, sha256_file(path)] for name, path in files.items()}
        digest = digest_of(manifest)
        (staged / MANIFEST).write_bytes(_manifest_text(manifest))
        for path in [*files.values(), staged / MANIFEST]:
            sync_file(path)
        for folder in sorted({path for path in staged.rglob("*") if path.is_dir()} | {staged}, reverse=True):
            sync_folder(folder)
        ref = ArtifactRef(task.stage, task.name, digest)
        target = self.folder(ref)
        make_folder(target.parent)
        if target.exists() and not self._content_matches(ref):
            # Spoilt since it was committed: out of the way, so that the rename below puts sound content there.
            self.discard(task.stage, digest)
        try:
            os.replace(staged, target)
        except OSError:
            # The same content is there already: made under another key, or by another worker this moment.
            if not self._content_matches(ref):
                raise
        sync_folder(target.parent)
        stats = {name: _stat(path) for name, path in _files_below(target).items()}
        self._verified[digest] = dict(stats)
        record = Record(key, task.stage, task.name, digest, components, stats, round(seconds, 3), round(time.time(), 3))
        write_atomic(self._record_path(task.stage, key), canonical(asdict(record)) + b"\n")
        shutil.rmtree(self.work(key), ignore_errors=True)
        return record

    # ------------------------------------------------------------------------------------------------- runs

    def read_run(self, name: str) -> dict[str, Any] | None:
        """What the run ``name`` last did, or None."""
        try:
            run: dict[str, Any] = json.loads((self.root / "runs" / f"{name}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return run

    def write_run(self, name: str, run: Mapping[str, Any]) -> None:
        """Remember what the run ``name`` did."""
        write_atomic(self.root / "runs" / f"{name}.json", canonical(run) + b"\n")

    def run_names(self) -> list[str]:
        """Names of the runs that wrote here."""
        return sorted(path.stem for path in (self.root / "runs").glob("*.json"))
