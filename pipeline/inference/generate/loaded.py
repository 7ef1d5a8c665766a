"""A generator with what sampling from it needs to know, from a run or from an exported folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...dataset.names import FINAL
from ...dataset.scaling import Scaling
from ...engine.runs import Run
from ...models import generator as generators
from ...models.generator import SCALING, Generator
from ...models.quality import generator_verdict
from ...stages.synth import screening as screenings
from ...stages.synth.screening import Screening
from ...utils.bounded_files import read_json
from ...utils.errors import ConfigError, StoreError, first_line

MODEL_JSON = "model.json"
"""File of an exported folder that says where the model comes from."""
FORMAT = 1


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator, and how it is sampled from.

    Attributes:
        name: Whose it is, for messages.
        folder: Where its files lie.
        generator: The networks.
        scaling: From chip values to [-1, 1].
        licences: Licences of the imagery that it learned from.
        truncation: Default standard deviation of z.
        screened: Whether chips are screened by default.
        measured: What was measured of it.
        screening_folder: Where what screens its chips lies; None where there is nothing.
        remedy: How to get it, for messages.
    """

    name: str
    folder: Path
    generator: Generator
    scaling: Scaling
    licences: tuple[str, ...]
    truncation: float
    screened: bool
    measured: Mapping[str, Any]
    screening_folder: Path | None
    remedy: str

    def unscreened(self, wanted: bool | None) -> str | None:
        """Return why chips are not screened although the run would, in a sentence; None where they are as asked for."""
        if wanted is not None or not self.screened or self.screening_folder is not None:
            return None
        return f"{self.name} has no screening model yet, so chips are not screened; {self.remedy}"

    def screening(self, wanted: bool | None) -> Screening | None:
        """Return what candidates are compared with; None where they are not to be screened.

        Args:
            wanted: Whether chips are to be screened; None does as the run did, where it keeps what that takes.

        Raises:
            ConfigError: If screening is wanted and there is nothing to screen with.
            StoreError: If what screens is damaged.
        """
        if wanted is False or (wanted is None and not self.screened) or self.unscreened(wanted):
            return None
        screening = None if self.screening_folder is None else screenings.load(self.screening_folder)
        if screening is None:
            why = "has no screening model yet" if self.screened else "was configured not to screen (synth.screen)"
            raise ConfigError(f"{self.name} {why}; {self.remedy}, or skip screening with --no-screen")
        return screening


def of_run(run: Run) -> LoadedGenerator:
    """Return the final generator of a run.

    Raises:
        ConfigError: If the run has none; names the command that makes one.
        StoreError: If its files are damaged.
    """
    artifact = run.artifact(f"gan/{FINAL}", "generator", "gan")
    synthetic = run.find(f"synth/{FINAL}")
    screens = synthetic is not None and (synthetic.path / screenings.CARD).is_file()
    return LoadedGenerator(
        f"run {run.name}",
        artifact.path,
        *_networks(artifact.path),
        run.licences,
        run.config.synth.truncation,
        run.config.synth.screen,
        artifact.metadata,
        synthetic.path if synthetic is not None and screens else None,
        f"{run.command('synth')} makes it",
    )


def of_folder(folder: Path) -> LoadedGenerator:
    """Return the generator of a folder that `satpipe export model` wrote.

    Raises:
        StoreError: If the folder holds none, or a damaged one.
    """
    try:
        about = read_json(folder / MODEL_JSON)
        if about["format"] != FORMAT or about["kind"] != "generator":
            raise ValueError(f"it is a {about['kind']} of format {about['format']}")
        licences = tuple(str(licence) for licence in about["licences"])
        truncation, screened, measured = float(about["truncation"]), bool(about["screened"]), dict(about["measured"])
        generator_verdict(measured)  # what others wrote may be of any form
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"the exported generator in {folder} cannot be read ({first_line(error, 160)});"
            " `satpipe export model generator` writes one"
        ) from None
    screens = folder if (folder / screenings.CARD).is_file() else None
    remedy = "export the generator again from a run that has it"
    return LoadedGenerator(
        f"the folder {folder}", folder, *_networks(folder), licences, truncation, screened, measured, screens, remedy
    )


def _networks(folder: Path) -> tuple[Generator, Scaling]:
    """Return the generator of a folder, and its scaling."""
    generator, scaling = generators.load(folder), Scaling.load(folder / SCALING)
    if len(scaling.low) != generator.shape[2]:
        raise StoreError(f"{folder} is damaged: its scaling is for another number of bands")
    return generator, scaling
