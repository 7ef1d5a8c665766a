"""A run that never ran: parts of every stage with the files that the report reads, small and quick to write."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.compute import Profile
from pipeline.config import RunConfig
from pipeline.names import split_name
from pipeline.parts import FACTS, Done, Job, Part, PlanContext, Ref
from pipeline.progress import Progress
from pipeline.report import stage
from pipeline.tables import CHIPS, LABELS, PREDICTIONS, SCENES, SPLIT, SYNTHETIC

CLASSES = ("non-ship", "ship")
ARMS = ("real", "classic", "gan", "classic+gan")


@dataclass(frozen=True)
class World:
    """What the fake experiment is like.

    Attributes:
        effects: What each arm adds to the margin of every chip, in logits.
        replicates: Replicates.
        units: Test scenes.
        folds: Folds.
        chips: Chips of a scene.
        size_px: Side of a chip.
        fractions: Real fractions.
        seed: Seed of everything.
        hostile: Text to hide in names, to see whether the page escapes it.
    """

    effects: dict[str, float] = field(
        default_factory=lambda: {"real": 0.0, "classic": 0.6, "gan": 0.3, "classic+gan": 1.1}
    )
    replicates: int = 6
    units: int = 12
    folds: int = 3
    chips: int = 30
    size_px: int = 32
    fractions: tuple[float, ...] = (1.0,)
    seed: int = 0
    hostile: str = ""
    random_split: bool = False

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(self.effects)


def predictions(world: World) -> pd.DataFrame:
    """Predictions with effects of chips, scenes, replicates in their fold, and arms."""
    rng = np.random.default_rng([world.seed, 1])
    unit = np.repeat(np.arange(world.units), world.chips)
    true = (rng.random(len(unit)) < 0.4).astype(int)
    base = 1.3 + 0.4 * rng.normal(size=world.units)[unit] + 1.6 * rng.normal(size=len(unit))
    frames = []
    for number, arm in enumerate(world.arms):
        for fraction in world.fractions:
            for replicate in range(world.replicates):
                own = np.random.default_rng([world.seed, 2, number, round(1000 * fraction), replicate])
                training = 0.2 * own.normal(size=world.folds)[unit % world.folds]
                noise = 0.6 * own.normal(size=len(unit))
                margin = base + world.effects[arm] + 0.5 * np.log2(fraction) + training + noise
                score = 1 / (1 + np.exp(-1.5 * margin * np.where(true == 1, 1, -1)))
                frames.append(
                    pd.DataFrame(
                        {
                            "fold": unit % world.folds,
                            "fraction": fraction,
                            "replicate": replicate,
                            "arm": arm,
                            "role": "test",
                            "chip_id": [chip_id(int(u), i) for i, u in enumerate(unit)],
                            "unit": [scene_id(int(u), world) for u in unit],
                            "class": np.array(CLASSES)[true],
                            "predicted": np.array(CLASSES)[(score > 0.5).astype(int)],
                            "score": score,
                            "threshold": 0.5,
                        }
                    )
                )
    return PREDICTIONS.frame(pd.concat(frames, ignore_index=True))


def scene_id(unit: int, world: World) -> str:
    return f"harbour-{unit:02d}{world.hostile}"


def chip_id(unit: int, number: int) -> str:
    return f"c{unit:02d}-{number:04d}"


def draw(ship: bool, size: int, rng: np.random.Generator, blur: float = 0.0) -> np.ndarray:
    """A chip: water with waves and, for a ship, a bright hull."""
    rows, cols = np.mgrid[:size, :size] - size / 2
    water = np.array([38, 62, 78]) + rng.normal(0, 8, 3)
    waves = 6 * np.sin((rows * rng.normal() + cols * rng.normal()) / 3 + rng.random() * 6)
    picture = water + waves[..., None] + rng.normal(0, 5, (size, size, 1))
    angle, length, width = rng.random() * np.pi, size * rng.uniform(0.2, 0.45), size * rng.uniform(0.05, 0.1)
    along, across = rows * np.cos(angle) + cols * np.sin(angle), cols * np.cos(angle) - rows * np.sin(angle)
    if ship:
        hull = 1 / (1 + np.exp((np.hypot(along / length, across / width) - 1) * (6 - 4 * blur)))
        picture += hull[..., None] * (np.array([150, 140, 130]) + rng.normal(0, 15, 3))
    elif rng.random() < 0.5:
        picture += 60 * (along > size * rng.uniform(-0.2, 0.4))[..., None] + rng.normal(
            0, 9 * (1 - blur), (size, size, 3)
        )
    return np.clip(picture, 0, 255).astype(np.uint8)


class FakeRun:
    """Writes the parts of a world into a store, and makes the report's own parts with the room's makers."""

    def __init__(self, root: Path, world: World, **changes: object) -> None:
        self.root, self.world = root, world
        self.store = root / "parts"
        self.done: dict[str, dict[str, Done]] = {name: {} for name in ("ingest", "chips", "gan", "synth", "classify")}
        self.done["report"] = {}
        self.config = RunConfig.model_validate(config(world) | changes)
        self.predictions = predictions(world)
        self._ingest()
        self._chips()
        self._trainings()

    def put(self, stage_name: str, name: str, facts: dict[str, object]) -> Path:
        folder = self.store / stage_name / f"{name}-digest".replace("/", "_")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FACTS).write_text(json.dumps(facts))
        self.done[stage_name][name] = Done(Ref(stage_name, name, folder.name), folder)
        return folder

    def _ingest(self) -> None:
        world = self.world
        scenes = [scene_id(unit, world) for unit in range(world.units)]
        folder = self.put(
            "ingest",
            "tables",
            {
                "scenes": [[name, f"{number:064x}"] for number, name in enumerate(scenes)],
                "quarantined": [[f"harbour-broken{world.hostile}", "the file ends before its last block"]],
                "labels": {"ship": 144},
                "labels_quarantined": [["label-7", "lies outside every scene"]],
                "labels_quarantined_by_reason": {"lies outside every scene": 1},
                "simulated": not world.hostile,
                "sources": ["simulated"],
                "licences": [f"CC0-1.0{world.hostile}"],
                "groups": ["site"],
            },
        )
        rows = [
            dict.fromkeys(SCENES.columns)
            | {
                "scene_id": name,
                "source": "simulated",
                "path": f"{name}.tif",
                "width": 512,
                "height": 512,
                "crs": "EPSG:32610",
                "transform": json.dumps(
                    [3.0, 0.0, 545_000.0 + 2_000 * number, 0.0, -3.0, 4_180_000.0 + 900 * (number % 4)]
                ),
                "gsd_m": 3.0,
                "bands": "[1, 2, 3]",
                "dtype": "uint8",
                "sha256": "0" * 64,
                "licence": "CC0-1.0",
                "simulated": True,
            }
            for number, name in enumerate(scenes)
        ]
        SCENES.write(pd.DataFrame(rows, columns=list(SCENES.columns)), folder / "scenes.parquet")
        LABELS.write([], folder / "labels.parquet")

    def _chips(self) -> None:
        world = self.world
        first = self.predictions.drop_duplicates("chip_id").reset_index(drop=True)
        rng = np.random.default_rng([world.seed, 3])
        chips = np.stack([draw(label == "ship", world.size_px, rng) for label in first["class"]])
        counts = first["class"].value_counts().to_dict()
        folder = self.put(
            "chips",
            "index",
            {
                "chips": {name: int(counts.get(name, 0)) for name in CLASSES},
                "shape": list(chips.shape[1:]),
                "dtype": "uint8",
                "dropped": {"too few valid pixels": 12, "holds part of an object": 31},
            },
        )
        np.save(folder / "chips.npy", chips)
        number = first["unit"].map({name: n for n, name in enumerate(first["unit"].unique())}).to_numpy()
        lon = -122.4 + 0.02 * number + 0.0001 * np.arange(len(first)) % 0.015
        lat = 37.7 + 0.01 * (number % 4)
        index = pd.DataFrame(
            {
                "chip_id": first["chip_id"],
                "scene_id": first["unit"],
                "class": first["class"],
                "kind": "label",
                "label_id": pd.NA,
                "row": 0,
                "col": np.arange(len(first)),
                "valid_fraction": 1.0,
                "footprint": [
                    f"POLYGON (({x} {y}, {x + 0.001} {y}, {x + 0.001} {y + 0.001}, {x} {y + 0.001}, {x} {y}))"
                    for x, y in zip(lon, lat, strict=True)
                ],
                "shard": "./chips.npy",
                "position": np.arange(len(first)),
                "group_site": first["unit"],
            }
        )
        CHIPS.write(index, folder / "index.parquet")
        for fold in range(world.folds):
            for fraction in world.fractions:
                for replicate in range(world.replicates):
                    self._split(first, fold, fraction, replicate)

    def _split(self, first: pd.DataFrame, fold: int, fraction: float, replicate: int) -> None:
        own = np.random.default_rng([self.world.seed, 4, fold, replicate])
        test = (first["fold"] == fold).to_numpy()
        role = np.where(test, "test", np.where(own.random(len(first)) < 0.25, "validation", "train"))
        drawn = own.random(len(first)) < fraction
        role = np.where(test | drawn, role, "unused")
        counts = {
            name: {label: int(((role == name) & (first["class"] == label)).sum()) for label in CLASSES}
            for name in ("train", "validation", "test", "unused")
        }
        facts = {
            "fold": fold,
            "fraction": fraction,
            "replicate": replicate,
            "counts": counts,
            "dropped": {"near-duplicate of a test chip": 1},
        }
        folder = self.put("chips", f"split-{split_name(fold, fraction, replicate)}", facts)
        SPLIT.write(
            pd.DataFrame({"chip_id": first["chip_id"], "role": role, "unit": first["unit"]}), folder / "split.parquet"
        )

    def _trainings(self) -> None:
        world = self.world
        for fold in range(world.folds):
            for fraction in world.fractions:
                for replicate in range(world.replicates):
                    name = split_name(fold, fraction, replicate)
                    self._gan(name, fold, replicate)
                    self._synth(name, fold, replicate)
                    here = self.predictions
                    here = here[
                        (here["fold"] == fold) & (here["fraction"] == fraction) & (here["replicate"] == replicate)
                    ]
                    for arm in world.arms:
                        folder = self.put("classify", f"{name}-{arm}", {"arm": arm})
                        PREDICTIONS.write(here[here["arm"] == arm], folder / "predictions.parquet")
        if world.random_split:
            # The same chips tested again, and always rightly: a random split claims more.
            leaky = self.predictions[(self.predictions["arm"] == "classic") & (self.predictions["replicate"] == 0)]
            leaky = leaky[np.isclose(leaky["fraction"], max(world.fractions))].assign(fold=0)
            folder = self.put("classify", "random-r0-classic", {"arm": "classic"})
            PREDICTIONS.write(leaky.assign(predicted=leaky["class"]), folder / "predictions.parquet")
        self.put("chips", "split-final", {"fold": None, "fraction": 1.0, "replicate": 0})
        self.put("gan", "final", {"images": 100})
        self.put("synth", "final", {})

    def _gan(self, name: str, fold: int, replicate: int) -> None:
        images = np.arange(2000, 42000, 2000)
        rng = np.random.default_rng([self.world.seed, 5, fold, replicate])
        score = 0.9 * np.exp(-images / 9000) + 0.12 + 0.000004 * np.maximum(0, images - 24000) + rng.normal(0, 0.01, 20)
        best = int(images[np.argmin(score)])
        quality = {
            label: {
                "kid": 0.141,
                "kid_floor": 0.024,
                "precision": 0.71,
                "precision_floor": 0.83,
                "coverage": 0.66,
                "coverage_floor": 0.91,
                "copies": 0.004,
            }
            for label in CLASSES
        }
        grade = {"balanced_accuracy": 0.8, "average_precision": dict.fromkeys(CLASSES, 0.9)}
        ways = ("real_to_real", "synthetic_to_real", "real_to_synthetic")
        facts = {
            "images": 40000,
            "best_images": best,
            "preset": "dcgan-lowdata",
            "quality": quality,
            "usefulness": {way: grade | {"balanced_accuracy": 0.8 - 0.02 * number} for number, way in enumerate(ways)},
        }
        folder = self.put("gan", name, facts)
        lines = [
            {
                "images": int(x),
                "loss_discriminator": round(1.2 + 0.1 * float(rng.normal()), 4),
                "loss_generator": round(0.9 + 0.1 * float(rng.normal()), 4),
                "score": round(float(y), 5),
                "quality": {
                    label: {"kid": round(float(y) + 0.03 * number, 5), "coverage": round(0.7 - 0.6 * float(y), 4)}
                    for number, label in enumerate(CLASSES)
                },
                "collapsed": [],
            }
            for x, y in zip(images, score, strict=True)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        from pipeline.report.pictures import contact_sheet, png

        (folder / "sheets").mkdir(exist_ok=True)
        for step, blur in ((2000, 1.0), (16000, 0.5), (40000, 0.2)) if replicate == 0 else ():
            chips = np.stack([draw(n >= 10, self.world.size_px, rng, blur) for n in range(20)])
            (folder / "sheets" / f"{step:08d}.png").write_bytes(png(contact_sheet(chips, 10), None))

    def _synth(self, name: str, fold: int, replicate: int) -> None:
        rng = np.random.default_rng([self.world.seed, 6, fold, replicate])
        labels = np.repeat(CLASSES, 16)
        accepted = rng.random(len(labels)) < 0.8
        chips = np.stack([draw(label == "ship", self.world.size_px, rng, 0.6) for label in labels])
        facts = {
            "accepted": {label: int(accepted[labels == label].sum()) for label in CLASSES},
            "candidates": dict.fromkeys(CLASSES, 16),
            "reasons": {"a classifier of the training chips sees another class": int((~accepted).sum())},
            "screened": True,
            "taught": {"balanced_accuracy": 0.79, "average_precision": dict.fromkeys(CLASSES, 0.92)},
        }
        folder = self.put("synth", name, facts)
        np.save(folder / "chips-000.npy", chips)
        rows = pd.DataFrame(
            {
                "chip_id": [f"{name}-{n}" for n in range(len(labels))],
                "scene_id": "synthetic",
                "class": labels,
                "kind": "synthetic",
                "label_id": pd.NA,
                "row": 0,
                "col": 0,
                "valid_fraction": 1.0,
                "footprint": pd.NA,
                "shard": "./chips-000.npy",
                "position": np.arange(len(labels)),
                "split": name,
                "seed": np.arange(len(labels)),
                "label_score": 0.9,
                "nearest_distance": rng.random(len(labels)),
                "accepted": accepted,
                "reason": np.where(accepted, None, "a classifier of the training chips sees another class"),
            }
        )
        SYNTHETIC.write(rows, folder / "index.parquet")

    # ------------------------------------------------------------------------------------ the report's own parts

    def make(self, part: Part) -> Done:
        """Make a part of the report as the runner would."""
        function = getattr(stage, part.make.split(":")[1])
        out = self.store / part.stage / f"{part.name}-digest"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        places = {
            (done.ref.stage, done.ref.digest): done.path for group in self.done.values() for done in group.values()
        }
        inputs = {
            name: tuple(places[ref.stage, ref.digest] for ref in refs)
            if isinstance(refs, tuple)
            else places[refs.stage, refs.digest]
            for name, refs in part.inputs.items()
        }
        job = Job(part, out, self.root / "scratch", self.store, inputs, Profile(), Progress())
        facts = function(job)
        (out / FACTS).write_text(json.dumps(facts))
        done = Done(Ref(part.stage, part.name, out.name), out)
        self.done[part.stage][part.name] = done
        return done

    def verdict(self) -> tuple[dict[str, object], Part]:
        """Facts of the verdict, and the part of the final classifier; quicker than the page."""
        planner = stage.plan(PlanContext(self.config, self.done, None))
        verdict = self.make(next(planner)[0])
        return verdict.facts, planner.send([verdict])[0]

    def report(self) -> tuple[Path, list[Part]]:
        """Walk the report's plan, and return the folder of the page and all planned parts."""
        planner = stage.plan(PlanContext(self.config, self.done, None))
        parts = list(next(planner))
        seen = list(parts)
        while True:
            answer = []
            for part in parts:
                if part.stage == "classify":
                    facts = {"arm": part.config["arm"], "profile": Profile().as_json()}
                    folder = self.put("classify", "final", facts)
                    answer.append(Done(Ref("classify", "final", folder.name), folder))
                else:
                    answer.append(self.make(part))
            try:
                parts = list(planner.send(answer))
            except StopIteration:
                return answer[0].path, seen
            seen += parts


def config(world: World) -> dict[str, object]:
    return {
        "name": "harbours",
        "ingest": {"sources": [{"type": "simulated", "scenes": world.units}], "classes": list(CLASSES)},
        "chips": {"size_px": world.size_px},
        "split": {"folds": max(2, world.folds), "fractions": list(world.fractions), "replicates": world.replicates},
        "classify": {"arms": list(world.arms)},
        "report": {"metric": "balanced_accuracy", "bootstrap": 2000},
    }
