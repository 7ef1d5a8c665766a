"""Artifacts on disk: content by digest, records by key, commits that are whole or absent.

Layout below the root (``data/``)::

    store.json                       version of this layout
    parts/<stage>/<digest>/          an artifact, and manifest.json with size and SHA-256 of each file
    records/<stage>/<key>.json       which key led to which digest, from what, when, in how many seconds
    work/<key>/                      checkpoints and progress of tasks under way
    runs/<run>/                      results and the last attempt of a run, see :mod:`.results`
    logs/, cache/                    for people; for speed

A commit writes a temporary folder, syncs it, renames it into place and writes the record last: a record never exists
without what it records. Content is verified against its manifest when it is opened for work; :meth:`Store.is_current`
compares sizes and times, and reads a file only where these changed.

The folder may come from someone else. No link below the root is followed, names in records are checked before they
become paths, and files are read up to a size.
"""

from __future__ import annotations

import json
import os
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
from ..utils.bounded_files import has_link, read_bytes, read_json, remove, walk_files
from ..utils.errors import CorruptedError, StoreError, StoreLockedError, os_error_hint
from ..utils.redact import redacted
from .digests import canonical, digest_of, is_digest, sha256_file
from .manifest import MANIFEST, files_below, manifest_text, stat_of
from .metadata import committed_fault
from .stages import NAMES
from .task import METADATA, ArtifactRef, Task

MARKER = "store.json"
"""File that says in which version of the layout a store was written."""
VERSION = 2
MAX_MANIFEST_BYTES = 1 << 27
LOCK, HOLDER = "store.lock", "lock.json"
HOLDER_TRIES = 20
HOLDER_WAIT_S = 0.05
FOLDERS = ("parts", "records", "work", "runs", "logs", "cache")
_VERIFIED: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
"""Size and time of each file of the content that this process has verified, by store and digest."""


@dataclass(frozen=True)
class Record:
    """Record of a committed artifact.

    Attributes:
        key: Digest of ``components``.
        stage: Stage of the artifact.
        name: Name within the stage.
        digest: Digest of the content.
        components: What the key was made from.
        files: Size in bytes and modification time in ns of each file, as last verified.
        seconds: How long the task function ran.
        made_at: When it was committed, in seconds since the epoch.
        run: Run that it was made for first; others may refer to it too.
    """

    key: str
    stage: str
    name: str
    digest: str
    components: Mapping[str, Any]
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    seconds: float = 0.0
    made_at: float = 0.0
    run: str = ""

    @property
    def ref(self) -> ArtifactRef:
        """Return the reference to its content."""
        return ArtifactRef(self.stage, self.name, self.digest)


def is_alive(pid: int) -> bool:
    """Return whether a process of this host runs; True where that cannot be asked without harm."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def refuse_link(path: Path) -> None:
    """Refuse a path of a store or a report that is a link.

    Raises:
        StoreError: If it is one.
    """
    if path.is_symlink():
        raise StoreError(
            f"{path} is a link to {path.readlink()}, and satpipe does not follow links here; replace it with its"
            " target, or give the folder that holds data/ as --root"
        )


class Store:
    """Store of artifacts below one folder; several runs share it."""

    def __init__(self, root: Path) -> None:
        """Open the store at ``root``, without making it.

        Raises:
            StoreError: If it was written in another version of this layout, or a folder of it is a link elsewhere.
        """
        self.root = root
        self.artifacts = root / "parts"
        self._verified = _VERIFIED.setdefault(str(root.absolute()), {})
        stages = [f"{kind}/{stage}" for kind in ("parts", "records") for stage in NAMES]
        for name in ("", *FOLDERS, *stages, MARKER, LOCK, HOLDER):
            refuse_link(root / name)
        try:
            version = read_json(root / MARKER)["version"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{root / MARKER} is damaged; move {root} away or choose another --root") from None
        except OSError as error:
            raise StoreError(f"the store {root} cannot be read: {os_error_hint(error) or error.strerror}") from None
        if version != VERSION:
            raise StoreError(
                f"{root} was written in version {version!r} of the store's layout, and this satpipe writes version"
                f" {VERSION}; run again with another --root to make the results anew, or use the satpipe that wrote it"
            )

    @property
    def is_there(self) -> bool:
        """Return whether the store was made already."""
        return (self.root / MARKER).exists()

    def create(self) -> None:
        """Make the folders of the store, if they are not there.

        Raises:
            StoreError: If that is not permitted, there is no room, or artifacts of an unknown layout are there.
        """
        try:
            if not self.is_there and any(self.artifacts.glob("[!.]*")):
                raise StoreError(f"{self.root} holds artifacts but no {MARKER}; choose another --root")
            for name in FOLDERS:
                make_folder(self.root / name)
            if not self.is_there:
                write_atomic(self.root / MARKER, canonical({"version": VERSION}) + b"\n")
        except OSError as error:
            raise StoreError(f"the store {self.root} cannot be written: {os_error_hint(error) or error}") from None

    # ------------------------------------------------------------------------------------------------ places

    def folder(self, ref: ArtifactRef) -> Path:
        """Return the folder of an artifact."""
        return self.artifacts / ref.stage / ref.digest

    def work(self, key: str) -> Path:
        """Return the folder for what a task under way keeps across a kill."""
        return self.root / "work" / key

    def _record_path(self, stage: str, key: str) -> Path:
        return self.root / "records" / stage / f"{key}.json"

    # ----------------------------------------------------------------------------------------------- reading

    def record(self, stage: str, key: str) -> Record | None:
        """Return the record of a key, or None. One that cannot be read counts as none: its task is run again."""
        path = self._record_path(stage, key)
        if stage not in NAMES or not is_digest(key) or path.parent.is_symlink():
            return None
        try:
            raw = read_json(path)
            files = {str(name): (int(size), int(mtime)) for name, (size, mtime) in raw.pop("files").items()}
            record = Record(**raw, files=files)
            sound = digest_of(record.components) == key == record.key and is_digest(record.digest)
            sound = sound and record.components.get("name", record.name) == record.name
            numbers = all(isinstance(raw.get(name), float | int) for name in ("seconds", "made_at"))
            texts = all(isinstance(raw.get(name, ""), str) for name in ("name", "run"))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return record if sound and numbers and texts and record.stage == stage else None

    def records(self, stage: str) -> Iterator[Record]:
        """Yield all records of a stage."""
        for path in sorted((self.root / "records" / stage).glob("*.json")):
            if (record := self.record(stage, path.stem)) is not None:
                yield record

    def is_current(self, record: Record) -> bool:
        """Return whether the content of a record is there and unchanged.

        Reads only files whose size or time changed.

        Raises:
            StoreError: If this user may not read it.
        """
        stamps = self._stamps(record.ref)
        unchanged = bool(stamps) and stamps == dict(record.files)
        matches = self._metadata_matches(record.ref) if unchanged else self._content_matches(record.ref)
        return matches and committed_fault(record.ref, self.folder(record.ref)) is None

    def _stamps(self, ref: ArtifactRef) -> dict[str, tuple[int, int]]:
        """Return size and time of each file of an artifact; none if it is not there whole."""
        folder = self.folder(ref)
        try:
            if has_link(folder, self.root):
                return {}
            return {name: stat_of(path) for name, path in files_below(folder).items()}
        except PermissionError as error:
            raise self._unreadable(ref, error) from None
        except OSError:
            return {}

    def _unreadable(self, ref: ArtifactRef, error: OSError) -> StoreError:
        return StoreError(
            f"artifact {ref.stage}/{ref.name} cannot be read: {error.filename}: {error.strerror}; its owner can make"
            f" it readable with `chmod -R a+rX {self.artifacts}`"
        )

    def _metadata_matches(self, ref: ArtifactRef) -> bool:
        """Return whether an artifact's metadata, from which planners plan, is what was committed."""
        folder = self.folder(ref)
        try:
            manifest = read_json(folder / MANIFEST, MAX_MANIFEST_BYTES)["files"]
            entry = manifest.get(METADATA)
            return digest_of(manifest) == ref.digest and (entry is None or entry[1] == sha256_file(folder / METADATA))
        except PermissionError as error:
            raise self._unreadable(ref, error) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            return False

    def _content_matches(self, ref: ArtifactRef) -> bool:
        folder = self.folder(ref)
        try:
            if has_link(folder, self.root):
                return False
            files = files_below(folder)
            written = read_bytes(folder / MANIFEST, MAX_MANIFEST_BYTES)
            manifest = json.loads(written)["files"]
            if digest_of(manifest) != ref.digest or written != manifest_text(manifest) or not manifest:
                return False
            sizes = {name: path.stat().st_size for name, path in files.items()}
            if sizes != {name: size for name, (size, _) in manifest.items()}:
                return False  # before anything large is read
            if any(sha256_file(path) != manifest[name][1] for name, path in files.items()):
                return False
        except PermissionError as error:
            raise self._unreadable(ref, error) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False
        self._verified[ref.digest] = {name: stat_of(path) for name, path in files.items()}
        return True

    def open(self, ref: ArtifactRef) -> Path:
        """Return the folder of an artifact, verified against its digest once per process and change.

        Raises:
            CorruptedError: If the content is missing or is not what was committed, or its metadata are damaged.
            StoreError: If this user may not read it.
        """
        stamps = self._stamps(ref)
        matches = (stamps and self._verified.get(ref.digest) == stamps) or self._content_matches(ref)
        if matches and committed_fault(ref, self.folder(ref)) is None:
            return self.folder(ref)
        raise self.corrupted(ref)

    def corrupted(self, ref: ArtifactRef) -> CorruptedError:
        """Return the error that says what is wrong with an artifact."""
        return CorruptedError(
            f"artifact {ref.stage}/{ref.name} in {self.folder(ref)} is not what was committed:"
            f" {self._first_change(ref)}; `satpipe run all` makes it again",
            ref.stage,
            ref.digest,
        )

    def _first_change(self, ref: ArtifactRef) -> str:
        folder = self.folder(ref)
        if has_link(folder, self.root):
            return "the folder is a link"
        if not folder.is_dir():
            return "the folder is missing"
        try:
            manifest = read_json(folder / MANIFEST, MAX_MANIFEST_BYTES)["files"]
            if digest_of(manifest) != ref.digest:
                return f"{MANIFEST} was changed"
            files = {path.relative_to(folder).as_posix(): path for path in walk_files(folder)}
            for name, (size, sha256) in manifest.items():
                path = files.get(name)
                if path is None:
                    return f"{name} is missing"
                if path.is_symlink() or path.stat().st_size != size or sha256_file(path) != sha256:
                    return f"{name} was changed"
        except OSError as error:
            return f"{Path(error.filename or folder).name} cannot be read ({error.strerror or error})"
        except (ValueError, KeyError, TypeError, AttributeError):
            return f"{MANIFEST} was changed"
        if added := sorted(set(files) - set(manifest) - {MANIFEST}):
            return f"{added[0]} was added"
        damage = committed_fault(ref, folder)
        return f"{MANIFEST} was changed" if damage is None else f"{METADATA} is damaged: {damage}"

    def discard(self, stage: str, digest: str) -> None:
        """Remove corrupted content, so that what needs it is made again."""
        corrupted = self.artifacts / f".corrupted.{digest}.{os.getpid()}"
        with suppress(FileNotFoundError):
            os.replace(self.artifacts / stage / digest, corrupted)
        self._verified.pop(digest, None)
        remove(corrupted)

    # ----------------------------------------------------------------------------------------------- writing

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the store for writing.

        Raises:
            StoreLockedError: If another process holds the lock; at once, with its pid, host and command.
        """
        self.create()
        info = self.root / HOLDER
        lock = FileLock(self.root / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StoreLockedError(f"{self._who()} is writing to {self.root}; wait for it or stop it") from None
        except OSError as error:
            raise StoreError(f"the store {self.root} cannot be locked: {os_error_hint(error) or error}") from None
        try:
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "command": redacted(" ".join(sys.argv))}
            write_atomic(info, canonical(holder) + b"\n")
            self._remove_leftovers()
            yield
        finally:
            with suppress(OSError):
                info.unlink(missing_ok=True)
            lock.release()

    def holder(self) -> dict[str, Any] | None:
        """Return pid, host and command of the process that writes to the store, or None if it is free."""
        try:
            holder: dict[str, Any] = read_json(self.root / HOLDER)
            is_local = holder["host"] == socket.gethostname()
            return holder if not is_local or is_alive(int(holder["pid"])) else None
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None

    def _who(self) -> str:
        """Return who holds the lock; its file may not be written yet, or be the one of the holder before."""
        for _ in range(HOLDER_TRIES):
            if (holder := self.holder()) is not None:
                return f"process {holder['pid']} on {holder['host']} (`{holder.get('command')}`)"
            time.sleep(HOLDER_WAIT_S)
        return "another process"

    def _remove_leftovers(self) -> None:
        """Remove what killed processes of this host left behind; only the holder of the lock may."""
        leftovers = [*self.artifacts.glob(f".*.{socket.gethostname()}.*"), *self.artifacts.glob(".corrupted.*")]
        for kind in ("", "records/*/", "runs/*/", "cache/"):
            leftovers += self.root.glob(f"{kind}.*.tmp")
        for path in leftovers:
            pid = path.name.removesuffix(".tmp").rpartition(".")[2]
            if pid.isdecimal() and len(pid) < 12 and not is_alive(int(pid)) and not path.parent.is_symlink():
                remove(path)
        for path in self.root.glob("work/*"):
            if self._is_committed(path.name):
                remove(path)  # killed between writing the record and this

    def _is_committed(self, key: str) -> bool:
        """Return whether a key has a record of any stage and the content that it records."""
        records = (self.record(stage, key) for stage in NAMES)
        return any(record is not None and self.folder(record.ref).is_dir() for record in records)

    @contextmanager
    def staging(self, key: str) -> Iterator[Path]:
        """Yield an empty folder for a task function to write in; it is removed afterwards unless it was committed."""
        folder = self.artifacts / f".{key}.{socket.gethostname()}.{os.getpid()}"
        remove(folder)
        make_folder(folder)
        try:
            yield folder
        finally:
            remove(folder)

    def scratch(self, key: str) -> Path:
        """Make the folder for what a task under way keeps across a kill; a folder with links is recreated."""
        folder = self.work(key)
        if folder.is_symlink() or (folder.is_dir() and any(path.is_symlink() for path in walk_files(folder))):
            remove(folder)
        make_folder(folder)
        return folder

    def commit(
        self, staged: Path, task: Task, key: str, components: Mapping[str, Any], seconds: float, run: str = ""
    ) -> Record:
        """Commit what a task function wrote in ``staged`` and record it under ``key``, as made for a run.

        Raises:
            StoreError: If there is no room or no permission; nothing is recorded then.
        """
        try:
            return self._commit(staged, task, key, components, seconds, run)
        except OSError as error:
            raise StoreError(
                f"artifact {task.title} could not be committed to {self.root}: {os_error_hint(error) or error};"
                " then run the same command again to resume"
            ) from None

    def _commit(
        self, staged: Path, task: Task, key: str, components: Mapping[str, Any], seconds: float, run: str
    ) -> Record:
        files = files_below(staged)
        manifest = {name: [path.stat().st_size, sha256_file(path)] for name, path in files.items()}
        digest = digest_of(manifest)
        (staged / MANIFEST).write_bytes(manifest_text(manifest))
        mode = (staged / MANIFEST).stat().st_mode  # the umask's, which libraries that write files need not heed
        for path in [*files.values(), staged / MANIFEST]:
            path.chmod(mode)
            sync_file(path)
        for folder in sorted({path for path in staged.rglob("*") if path.is_dir()} | {staged}, reverse=True):
            sync_folder(folder)
        ref = ArtifactRef(task.stage, task.name, digest)
        target = self.folder(ref)
        make_folder(target.parent)
        if target.exists() and not self._content_matches(ref):
            # Corrupted since it was committed: out of the way, so that the rename below puts sound content there.
            self.discard(task.stage, digest)
        try:
            os.replace(staged, target)
        except OSError:
            # The same content is there already: made under another key, or by another worker this moment.
            if not self._content_matches(ref):
                raise
        sync_folder(target.parent)
        stats = {name: stat_of(path) for name, path in files_below(target).items()}
        self._verified[digest] = dict(stats)
        times = round(seconds, 3), round(time.time(), 3)
        record = Record(key, task.stage, task.name, digest, components, stats, *times, run)
        write_atomic(self._record_path(task.stage, key), canonical(asdict(record)) + b"\n")
        remove(self.work(key))
        return record
