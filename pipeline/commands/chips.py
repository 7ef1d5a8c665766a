"""``satpipe chips``: cut the chips of a run, say what they are, and draw a contact sheet."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ..utils.plural import plural
from ._common import committed, config_options, console, load, print_table, reports, root_option, say

if TYPE_CHECKING:
    from ..config.run import RunConfig
    from ..engine.task import Artifact

MOST = 100
"""Rows of a table that are printed; `--json` prints all."""
NAMED = 6
"""Items of a list that are named in a sentence."""


@click.command("chips")
@config_options
@root_option
@click.option("--strict", is_flag=True, help="Stop at a scene or label that cannot be used, instead of leaving it out.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    show_default="reports/RUN-chips.png",
    help="PNG file for the contact sheet.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    config_path: Path | None,
    overrides: tuple[str, ...],
    name: str | None,
    root: Path,
    strict: bool,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Cut chips and assign them to splits; print counts per class, group and split, and what was dropped.

    Makes what is missing up to the stage `chips`, and a contact sheet; `satpipe export chips` writes chips as files.
    """
    from ..stages.chips.summary import PAIRS, summarise

    overrides += ("ingest.strict=true",) if strict else ()
    config = load(config_path, overrides, name)
    done, failed = make_chips(root, config, quiet=as_json)
    chips = done["chips"]
    if "index" in chips:
        metadata = {name: task.metadata for name, task in chips.items()}
        report = summarise(done["ingest"]["tables"].metadata, metadata, config.split.by)
        report["index"] = str(chips["index"].path / "index.parquet")
        if "duplicates" in chips:
            report["pairs"] = str(chips["duplicates"].path / PAIRS)
        report["sheet"] = str(_copy_sheet(chips["index"].path, sheet or reports(root) / f"{config.name}-chips.png"))
        if as_json:
            click.echo(json.dumps({"run": config.name} | report, indent=1))
        else:
            _show(config.name, report, failed)
    if failed is not None:
        raise failed


def make_chips(root: Path, config: RunConfig, quiet: bool) -> tuple[dict[str, dict[str, Artifact]], Exception | None]:
    """Make the chips of a run, where they are not up to date.

    Args:
        root: Folder that holds data/ and reports/.
        config: The run's configuration.
        quiet: Whether progress is reported on standard error instead of standard output.

    Returns:
        Committed artifacts by stage and name; and the error that prevented the splits, if the chips were made.

    Raises:
        SatpipeError: If there are no chips.
    """
    from ..engine.display import display_for, log_file
    from ..engine.runner import Runner, Selection
    from ..utils.errors import ConfigError, TooLittleDataError

    runner = Runner(root, display_for(console(error=quiet), None))
    done, complete = committed(runner, config, "chips")
    failed = None
    if not complete:
        with log_file(root / "data" / "logs", config.name) as logger:
            runner = Runner(root, display_for(console(error=quiet), logger))
            try:
                runner.run(config, Selection(last="chips"))
            except (ConfigError, TooLittleDataError) as error:
                logger.error("%s", error)
                failed = error
        done, _ = committed(runner, config, "chips")
        if failed is not None and "index" not in done["chips"]:
            raise failed
    return done, failed


def _copy_sheet(index: Path, to: Path) -> Path:
    from ..utils.atomic_files import write_atomic
    from ..utils.errors import StoreError

    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(to, (index / "sheet.png").read_bytes())
    except OSError as error:
        raise StoreError(f"the contact sheet {to} cannot be written: {error.strerror or error}") from None
    return to


# ------------------------------------------------------------------------------------------------------------- print


def _show(run: str, report: Mapping[str, Any], failed: Exception | None) -> None:
    height, width, bands = report["shape"]
    scenes, labels = report["scenes"], report["labels"]
    total = sum(report["chips"].values())
    say(
        f"\n{run}: {plural(total, 'chip')} of {height} x {width} x {bands} {report['dtype']} from"
        f" {plural(scenes['used'], 'scene')}\n"
    )
    classes = list(report["chips"])
    rows = [(group, *(counts.get(name, 0) for name in classes)) for group, counts in report["groups"].items()]
    _print(("class", "chips"), report["chips"].items())
    _print(("cut as", "chips"), report["kinds"].items())
    _print((report["by"], *classes), rows)
    _print(("split", "class", *_ROLES), _split_rows(report["splits"], classes))
    for line in _folds(report["splits"]):
        say(line)
    for title, reasons in (
        ("scenes left out", Counter(scenes["left_out"].values())),
        ("labels left out", labels["left_out"]),
        ("windows dropped", report["dropped"]),
        *([] if failed else [("training chips dropped, over all splits", report["leaks"].get("dropped", {}))]),
    ):
        say(f"{title}: {'; '.join(f'{reason} ({count:,})' for reason, count in reasons.items()) or 'none'}")
    if failed:
        say("training chips dropped: not known, since not all splits could be made; the error below says why")
    for line in _leaks(report["leaks"], report["by"]):
        say(line)
    if report["leaks"].get("overlapping_pairs", 0) + report["leaks"].get("near_duplicate_pairs", 0):
        say(f"leaking pairs of chips: {report['pairs']}")
    say(f"index (GeoParquet, outlines in longitude and latitude): {report['index']}")
    say(f"contact sheet: {report['sheet']}")


_ROLES = ("train", "validation", "test", "unused", "dropped")


def _split_rows(splits: Mapping[str, Any], classes: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for name, split in splits.items():
        for label in classes:
            yield (name, label, *(split["counts"].get(role, {}).get(label, 0) for role in _ROLES))


def _folds(splits: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each fold with the groups that it tests."""
    tested = {split["fold"]: split["test_groups"] for split in splits.values() if split["test_groups"]}
    for fold, groups in sorted(tested.items()):
        yield f"fold {fold} tests {_some(groups)}"


def _leaks(leaks: Mapping[str, Any], by: str) -> Iterator[str]:
    if not leaks:
        return
    yield (
        f"leaks found: {plural(leaks['overlapping_pairs'], 'pair')} of chips from two scenes with overlapping ground,"
        f" {plural(leaks['near_duplicate_pairs'], 'pair')} of near-duplicates among"
        f" {plural(leaks['compared_chips'], 'textured chip')}"
    )
    if leaks["undecided_pairs"]:
        yield (
            f"undecided: {plural(leaks['undecided_pairs'], 'more pair')} of similar chips with too little texture to"
            " distinguish copies from, say, ships of one size on flat water; they do not count as near-duplicates"
        )
    yield from _scenes_compared(leaks["compared_scenes"], leaks["pairs_seen_only"])
    joined = leaks["joined_groups"]
    names = "; ".join(" + ".join(groups) for groups in joined[:NAMED]) + ("; ..." if len(joined) > NAMED else "")
    line = (
        f"{plural(sum(map(len, joined)), 'group')} of {by} into {len(joined):,} ({names})"
        if joined
        else f"no groups of {by}"
    )
    yield f"leaks joined: {line}"
    dropped = leaks["dropped_by_split"]
    if dropped:
        count = f"{plural(sum(dropped.values()), 'training chip')} over {plural(len(dropped), 'split')}"
        yield f"leaks dropped: {count}; none of those found remains"


def _scenes_compared(scenes: Mapping[str, Any] | None, pairs: int) -> Iterator[str]:
    """Yield what was searched for in the pixels of whole scenes, and what cannot be seen there."""
    if scenes is None:
        yield (
            "scenes were not compared by their pixels (chips.duplicates), only by their georeference; if"
            " scenes lack it and you know their sites, put these in a group column and name it in split.by"
        )
        return
    yield (
        f"scenes compared by their pixels: {scenes['scenes']:,}, at any rotation, mirrored or not, at scales from"
        f" 0.8 to 1.25: {plural(scenes['seen'], 'pair')} of the same ground, {scenes['implied']:,} more implied;"
        f" {plural(pairs, 'pair')} of chips with overlapping ground that the georeference does not show"
    )
    if scenes["keypoint_share"] < 1:
        share = f"{scenes['keypoint_share']:.0%}"
        yield f"only the strongest {share} of their keypoints were compared: small overlaps may be missed"
    if scenes["plain_count"]:
        named = _some(scenes["plain"], scenes["plain_count"])
        yield f"too small or with too little texture to compare: {plural(scenes['plain_count'], 'scene')} ({named})"
    yield (
        "not found this way: ground without texture or that has changed, and most overlaps under a tenth of a scene;"
        " if scenes lack georeference and you know their sites, put these in a group column and name it in split.by"
    )


def _some(names: Sequence[str], count: int | None = None) -> str:
    """Return the first of some names, and how many more there are of ``count``; None takes as many as are given."""
    count = len(names) if count is None else count
    rest = f" and {count - NAMED:,} more" if count > NAMED else ""
    return ", ".join(names[:NAMED]) + rest


def _print(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print the first rows of a table, and how many more there are."""
    cells = list(rows)
    if not cells:
        return
    print_table(header, cells[:MOST])
    if (more := len(cells) - MOST) > 0:
        say(f"... and {plural(more, 'more row')}; --json prints all")
    say("")
