"""`satpipe export model`: weights, ONNX and card of a generator and a classifier, read by other programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fixtures.finished_run import MODEL, Finished, read_json, spots, tree
from satpipe import load_classifier, load_generator
from satpipe.commands import cli
from satpipe.inference.export import onnx
from satpipe.models.networks import latents
from satpipe.utils.errors import SatpipeError, StoreError, TrainingError


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("export")).generator().screening().chips().classifier().write()


def export(done: Finished, kind: str, to: Path, *words: str) -> str:
    custom = ["--model", MODEL] if kind == "classifier" else []
    arguments = ["export", "model", kind, "--to", str(to), "--root", str(done.root), *custom, *words]
    result = CliRunner().invoke(cli, arguments)
    if isinstance(result.exception, SatpipeError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_generator_from_a_folder_gives_the_same_chips(done: Finished, tmp_path: Path) -> None:
    export(done, "generator", tmp_path / "out", "--no-onnx")
    for folder in (tmp_path / "out", str(tmp_path / "out")):
        exported, original = load_generator(folder), load_generator("harbour", done.root)
        assert (exported.licences, exported.classes) == (original.licences, original.classes)
        both = [item.sample(5, "non-ship", seed=4) for item in (exported, original)]
        np.testing.assert_array_equal(both[0].read(), both[1].read())


def test_a_classifier_from_a_folder_scores_alike(done: Finished, tmp_path: Path) -> None:
    export(done, "classifier", tmp_path / "out", "--no-onnx")
    chips = spots(np.arange(8) % 2)
    scores = [load_classifier(run, done.root, model=MODEL).scores(chips) for run in (tmp_path / "out", "harbour")]
    np.testing.assert_array_equal(*scores)


def test_onnx_runtime_computes_what_torch_does(done: Finished, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="ONNX is an extra: interop")
    export(done, "generator", tmp_path / "generator")
    session = runtime.InferenceSession(tmp_path / "generator" / "generator.onnx")
    generator = load_generator(tmp_path / "generator")
    seeds, labels = np.arange(100, 107), np.arange(7) % 2
    z = latents(seeds, 8)
    (chips,) = session.run(None, {"z": z, "label": labels})
    expected = generator._loaded.generator.sample(z, labels, seeds)
    np.testing.assert_allclose(chips.transpose(0, 2, 3, 1) / 127.5 - 1, expected, atol=1e-4)
    classes = session.get_modelmeta().custom_metadata_map["classes"].splitlines()
    assert tuple(classes) == generator.classes

    export(done, "classifier", tmp_path / "classifier")
    session = runtime.InferenceSession(tmp_path / "classifier" / "classifier.onnx")
    values = spots(np.arange(9) % 2, seed=7)
    (result,) = session.run(None, {"chips": values.transpose(0, 3, 1, 2).astype(np.float32)})
    classifier = load_classifier("harbour", done.root, model=MODEL)
    np.testing.assert_allclose(result, classifier.probabilities(values), atol=1e-4)
    assert float(session.get_modelmeta().custom_metadata_map["threshold"]) == classifier.threshold


def test_layers_as_onnx_compose_over_chip_values(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="ONNX is an extra: interop")
    done = Finished(tmp_path / "run").generator(dtype="uint16", layered=True).write()
    export(done, "generator", tmp_path / "out")
    generator = load_generator(tmp_path / "out")
    z = latents(np.arange(3), 8)
    session = runtime.InferenceSession(tmp_path / "out" / "layers.onnx")
    (layers,) = session.run(None, {"z": z, "label": np.zeros(3, np.int64)})
    assert session.get_modelmeta().custom_metadata_map["classes"] == "ship"
    expected = generator._loaded.generator.layers.layers(z, np.ones(3, np.int64))
    np.testing.assert_allclose(layers.transpose(0, 2, 3, 1), expected, atol=1e-2)
    exported, original = (load_generator(run, done.root).sample(4, screen=False) for run in (tmp_path / "out", None))
    np.testing.assert_array_equal(exported.read(), original.read())


def test_onnx_that_differs_from_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX is an extra: interop")

    class Square(torch.nn.Module):
        def forward(self, chips: torch.Tensor) -> torch.Tensor:
            return chips * (1 if torch.compiler.is_exporting() else 1.001)

    model = onnx.OnnxModel(Square(), {"chips": np.ones((16, 1, 4, 4), np.float32)}, "same", 1.0, {})
    with pytest.raises(TrainingError, match=r"ONNX Runtime differs from torch by 0\.001"):
        onnx.write_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_the_card_is_one_of_the_hub(done: Finished, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the Hub's library is an extra: interop")
    measured = {"quality": {"ship": {"kid": 1.5, "kid_floor": 1.0, "precision": 0.7, "precision_floor": 0.8}}}
    done = Finished(tmp_path / "run").generator(measured=measured).write()
    export(done, "generator", tmp_path / "out", "--no-onnx")
    card = hub.ModelCard.load(tmp_path / "out" / "README.md")
    assert (card.data.license, card.data.license_name) == ("other", "cc-by-4.0-the-test")
    assert (card.data.library_name, card.data.pipeline_tag) == ("satpipe", "unconditional-image-generation")
    results = {(item.metric_type, item.metric_value) for item in card.data.eval_results}
    assert results == {("kid", 1.5), ("precision", 0.7)}
    for heading in ("Intended use", "How to load it", "Data", "Licence", "Metrics", "Files"):
        assert f"\n## {heading}\n" in card.text
    assert "| kernel distance, ship | 1.500 |  | 1.000 |" in card.text


def test_metrics_of_the_classifier_have_intervals(tmp_path: Path) -> None:
    done = Finished(tmp_path / "run").chips().classifier()

    def verdict(folder: Path) -> dict[str, object]:
        rows = ["kind,arm,fold,fraction,metric,estimate,low,high", "arm,classic,,1.0,accuracy,0.91,0.88,0.94"]
        rows += ["arm,classic,,0.5,accuracy,0.8,0.7,0.9", "arm,classic+gan,,1.0,accuracy,0.95,0.9,1.0"]
        (folder / "metrics.csv").write_text("\n".join(rows) + "\n", "utf-8")
        question = {"metric": "accuracy", "title": "accuracy", "treatment": "a", "baseline": "b", "confidence": 0.9}
        difference = {"estimate": 0.04, "low": None, "high": None}
        answer = {"sentence": "It helps.", "question": question, "difference": difference}
        (folder / "verdict.json").write_text(json.dumps(answer), "utf-8")
        return {}

    done.add("report/verdict", verdict)
    export(done.write(), "classifier", tmp_path / "out", "--no-onnx")
    text = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "| accuracy | 0.910 | 0.880 to 0.940 |" in text
    assert "90 % interval" in text
    assert "0.950" not in text


def test_the_same_export_has_the_same_bytes(done: Finished, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX is an extra: interop")
    for name in ("one", "two"):
        export(done, "generator", tmp_path / name)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert not [name for name, content in tree(tmp_path / "one").items() if str(Path.cwd()).encode() in content]


def test_a_folder_of_a_stranger_is_refused_in_a_sentence(done: Finished, tmp_path: Path) -> None:
    export(done, "generator", tmp_path / "out", "--no-onnx")
    about = read_json(tmp_path / "out" / "model.json")
    for change in ({"kind": "classifier"}, {"licences": None}, {"measured": {"quality": {"ship": 3}}}, {"format": 9}):
        (tmp_path / "out" / "model.json").write_text(json.dumps(about | change), "utf-8")
        with pytest.raises(StoreError, match=r"the exported generator in .* cannot be read"):
            load_generator(tmp_path / "out")


def test_a_folder_with_files_is_left_alone(done: Finished, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match="not an empty folder"):
        export(done, "generator", tmp_path, "--no-onnx")
    assert tree(tmp_path) == {"mine.txt": b"mine"}
