"""What the first screen says: whether the generator learned, what to do now, and where the evidence is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.report_data import CLASSES, FakeRun, SimulatedRun
from satpipe.stages.report.html.figures import stacked
from satpipe.stages.report.sections.next_steps import detectable_with, replicates_needed

NO_GAIN = {"classic": 0.6, "classic+gan": 0.6}


def commands(page: str) -> list[str]:
    section = page[page.index('id="next"') : page.index("</section>", page.index('id="next"'))]
    return [command.replace("&#39;", "'") for command in re.findall(r"<code>(.*?)</code>", section)]


def read(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def unlearned(tmp_path_factory):
    """A run without a gain whose generators paint chips far from real ones."""
    run = FakeRun(tmp_path_factory.mktemp("unlearned"), SimulatedRun(effects=NO_GAIN, chips=12))
    for name, done in run.done["gan"].items():
        if name != "final":
            metadata = done.metadata
            for values in metadata["quality"].values():
                values |= {"kid": 40.0, "precision": 0.01, "coverage": 0.02}
            (done.path / "metadata.json").write_text(json.dumps(metadata))
    return run.report()[0]


def test_a_generator_that_did_not_learn_is_said_first(unlearned):
    answer, page = read(unlearned)["answer"], (unlearned / "report.html").read_text("utf-8")
    assert answer["sentence"].startswith("This generator did not learn: its ship chips are 1,667 times as far")
    assert "The verdict is about it, not about GANs. No detectable difference" in answer["sentence"]
    assert answer["generator"]["learned"] is False
    body = page[page.index("<main") :]
    assert body.index("The generator did not learn.") < body.index("No detectable difference")
    assert "gan.images=" in commands(page)[0]


def test_a_generator_that_learned_is_not_warned_of(page_folder):
    assert read(page_folder)["answer"]["generator"] == {"learned": True, "reasons": []}
    assert "did not learn" not in (page_folder / "report.html").read_text("utf-8")


def test_an_arm_without_a_gan_says_nothing_of_one(tmp_path):
    simulated = SimulatedRun(effects={"real": 0.0, "classic": 0.6}, chips=12)
    folder = FakeRun(tmp_path, simulated, report={"treatment": "classic", "baseline": "real"}).report()[0]
    assert read(folder)["answer"]["generator"] is None


def test_where_it_helps_classifier_and_generator_are_used(page_folder):
    result = commands((page_folder / "report.html").read_text("utf-8"))
    assert result[0] == "satpipe detect SCENE.tif --to found.geojson --run harbours"
    assert result[1] == "satpipe generate --count 1000 --to chips --run harbours"


def test_too_few_replicates_are_run_to_what_a_verdict_needs(tmp_path):
    folder = FakeRun(tmp_path, SimulatedRun(effects=NO_GAIN, replicates=3, chips=8)).report()[0]
    page = (folder / "report.html").read_text("utf-8")
    assert "satpipe run all --config FILE.yaml --set split.replicates=6" in commands(page)
    assert "<!--time of 3 replicates--><!--/-->" in page
    assert "satpipe run all --config FILE.yaml --set 'split.fractions=[0.25,1.0]'" in " ".join(commands(page))


def test_the_class_and_groups_with_most_errors_are_named(page_folder):
    rows = pd.read_parquet(page_folder / "predictions.parquet").query("role == 'test' and arm == 'classic+gan'")
    wrong = (rows["class"] != rows["predicted"]).groupby(rows["class"]).mean()
    page = (page_folder / "report.html").read_text("utf-8")
    assert f"Most often wrong is {wrong.idxmax()}: {100 * wrong.max():.0f} % of its test chips." in page


def test_simulated_data_lead_to_the_users_own(page_folder):
    assert commands((page_folder / "report.html").read_text("utf-8"))[-1] == "satpipe init FOLDER"


def test_scenes_without_place_need_a_site_each(tmp_path):
    source = {"type": "yolo", "path": "scenes", "groups_csv": None}
    run = FakeRun(tmp_path, SimulatedRun(hostile="-x", chips=8), ingest={"sources": [source], "classes": list(CLASSES)})
    path = run.done["ingest"]["tables"].path / "scenes.parquet"
    scenes = pd.read_parquet(path)
    page = (run.report()[0] / "report.html").read_text("utf-8")
    assert "without georeference" not in page
    scenes.assign(crs=pd.NA, transform=pd.NA).astype({"crs": "string", "transform": "string"}).to_parquet(path)
    page = (run.report()[0] / "report.html").read_text("utf-8")
    assert "12 scenes without georeference" in page
    assert "Name the site of each scene (groups_csv)" in page


def answer(estimate: float, share: float, replicates: int = 6) -> dict:
    difference = {"estimate": estimate, "variance_replicates": share, "variance_rest": 0.0}
    return {"difference": difference, "detectable": 0.02, "replicates": replicates}


@pytest.mark.parametrize(
    ("estimate", "share", "needed"),
    [(0.01, 1.0, 24), (0.02, 1.0, 6), (0.01, 0.5, None), (0.018, 0.5, 10), (0.0, 1.0, None)],
)
def test_replicates_shrink_only_their_share_of_the_variance(estimate, share, needed):
    """Half the standard error takes four times the replicates, if replicates are all there is to it."""
    assert replicates_needed(answer(estimate, share)) == needed


def test_twice_the_replicates_halve_their_share():
    assert detectable_with(answer(0.0, 1.0), 24) == pytest.approx(0.01)
    assert detectable_with(answer(0.0, 0.0), 24) == pytest.approx(0.02)


def test_real_training_chips_of_each_class_are_counted(fake_run, page_folder):
    tables = [done.path / "split.parquet" for name, done in fake_run.done["chips"].items() if "fold" in name]
    kinds = fake_run.predictions.drop_duplicates("chip_id").set_index("chip_id")["class"]
    train = [
        kinds[rows.loc[rows["role"] == "train", "chip_id"]].value_counts() for rows in map(pd.read_parquet, tables)
    ]
    means = pd.DataFrame(train).mean()
    page = (page_folder / "report.html").read_text("utf-8")
    assert f"{means[CLASSES[1]]:,.0f} ship + {means[CLASSES[0]]:,.0f} non-ship" in page


# ------------------------------------------------------------------------------------------------------ errors


def test_all_errors_of_either_arm_are_listed_by_kind(page_folder):
    rows = pd.read_parquet(page_folder / "predictions.parquet").query("role == 'test'")
    rows = rows[rows["arm"].isin(["classic", "classic+gan"])]
    wrong = (rows["class"] != rows["predicted"]).groupby([rows["chip_id"], rows["arm"]]).mean().unstack() >= 0.5
    table = pd.read_csv(page_folder / "errors.csv")
    both = wrong.all(axis=1)
    assert set(table.loc[table["arms"] == "both", "chip_id"]) == set(wrong.index[both]) != set()
    for arm in ("classic", "classic+gan"):
        assert set(table.loc[table["arms"] == arm, "chip_id"]) == set(wrong.index[wrong[arm] & ~both])
    assert ((table["class"] == "non-ship") == (table["kind"] == "false positives")).all()
    assert ((table["class"] == "ship") == (table["kind"] == "false negatives")).all()
    assert {"scene_id", "row", "col", "score_baseline", "score_treatment"} <= set(table.columns)


def test_errors_are_enlarged_and_linked_from_the_map(page_folder):
    page = (page_folder / "report.html").read_text("utf-8")
    ids = set(re.findall(r'id="(error-\d+)"', page))
    assert len(ids) > 10
    assert {f"{name}-large" for name in ids} <= set(re.findall(r'id="([^"]+-large)"', page))
    linked = set(re.findall(r'<a aria-label="Show error-\d+" href="#(error-\d+)"', page))
    assert linked
    assert linked <= ids


# ----------------------------------------------------------------------------------------------- other evidence


def test_classifiers_learning_curves_are_drawn(page_folder):
    text = (page_folder / "figures" / "classifier-accuracy.svg").read_text("utf-8")
    # Mean over six replicates at the last step: 0.9 - 0.2 / 4 - 0.01 * 2.5
    assert "classic+gan: 0.675 at 1, 0.825 at 4" in text
    assert (page_folder / "figures" / "classifier-loss.svg").is_file()


def test_what_composition_brings_is_told_apart_from_the_gan(tmp_path):
    effects = {"classic": 0.3, "classic+cutpaste": 0.9, "classic+gan": 1.2}
    folder = FakeRun(tmp_path, SimulatedRun(effects=effects, chips=12)).report()[0]
    table = pd.read_csv(folder / "metrics.csv").query("metric == 'balanced_accuracy' and fold.isna()")
    steps = table.set_index(["arm", "baseline"])["estimate"]
    alone, gan = steps["classic+cutpaste", "classic"], steps["classic+gan", "classic+cutpaste"]
    assert alone + gan == pytest.approx(steps["classic+gan", "classic"])
    page = (folder / "report.html").read_text("utf-8")
    assert f"composition alone {100 * alone:+.1f} points" in page
    assert f"the GAN&#39;s objects instead of real ones {100 * gan:+.1f} points" in page


def test_composites_stand_beside_mask_and_object(page_folder):
    page = (page_folder / "report.html").read_text("utf-8")
    assert "Left to right: real background in its scene; composite; mask of the object; object alone." in page
    assert page.count('alt="object alone"') == page.count('alt="mask of the object"') == 6


def test_strokes_that_fall_together_are_drawn_below_each_other():
    assert stacked([0.1, 0.5, 0.1, 0.9]).tolist() == [0, 0, 1, 0]
    assert stacked([0.3, 0.3, 0.3]).tolist() == [0, 1, 2]
    assert stacked([]).tolist() == []
    assert np.all(stacked(np.linspace(0, 1, 5)) == 0)
