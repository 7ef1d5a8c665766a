"""``satpipe export``: what a run made, as files for other programs."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ._common import config_options, find, load, root_option, say


@click.group("export")
def command() -> None:
    """Write what a run made as files for other programs."""


@command.command("chips")
@config_options
@root_option
@click.option(
    "--to",
    "to",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to; it must be empty or new.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "tif", "npy"]),
    default="png",
    show_default=True,
    help="PNG takes bytes of 1, 3 or 4 bands; TIFF (with its place on the ground) and NumPy take every chip.",
)
@click.option("--split", metavar="NAME", help="Add the role of each chip in this split, such as fold0-f100-r0.")
def chips(
    config_path: Path | None,
    overrides: tuple[str, ...],
    name: str | None,
    root: Path,
    to: Path,
    file_format: str,
    split: str | None,
) -> None:
    """Write the chips of a run into folders named for their class, with a labels.csv.

    With a configuration, what is missing up to the stage `chips` is made first. --name NAME alone, or NAME@VERSION,
    takes the run of that name as it was made.
    """
    import pandas as pd

    from ..dataset.chip_store import ChipStore
    from ..dataset.parquet import checked
    from ..dataset.tables import CHIPS, SCENES
    from ..engine.store import Store
    from ..stages.chips.export import export_chips, roles_of
    from ..stages.chips.summary import SPLIT
    from .chips import made

    store = Store(root / "data")
    if name is not None and config_path is None and not overrides:
        # As the run was made. Nothing is run: its record may be somebody else's, and names code.
        run = find(name, root)
        tables = run.artifact("ingest/tables", "scenes", "chips")
        run.artifact("chips/index", "chips", "chips")
        artifacts = [run.find(title) for title in run.keys if title.startswith("chips/")]
        chips = {artifact.ref.name: artifact for artifact in artifacts if artifact is not None}
    else:
        done, failed = made(root, load(config_path, overrides, name), quiet=False)
        if failed is not None and split is not None:
            raise failed
        tables, chips = done["ingest"]["tables"], done["chips"]
    tasks = {name: store.open(artifact.ref) for name, artifact in chips.items()}
    roles = None
    if split is not None:
        roles = roles_of({name.removeprefix(SPLIT): at for name, at in tasks.items() if name.startswith(SPLIT)}, split)
    licences = SCENES.read(store.open(tables.ref) / "scenes.parquet")[["scene_id", "licence"]]
    grids = pd.concat([pd.read_parquet(checked(path)) for path in sorted(tasks["windows"].glob("scenes-*.parquet"))])
    scenes = grids.merge(licences, on="scene_id", how="left")
    found = ChipStore.open(CHIPS.read, tasks["index"] / "index.parquet", store.artifacts)
    table = export_chips(found, to, file_format, roles, scenes)
    say(f"{len(found):,} chips in {to}; {table.name} says what each is")
