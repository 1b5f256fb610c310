"""`sweeper explain NAME`: what it writes, against the network itself; and what it says when it cannot."""

import base64
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from command import here
from PIL import Image

from sweeper.data.pictures import decode
from sweeper.explanation import ExplanationError, draw_explanation, open_classifier
from sweeper.models import ModelError
from sweeper.store import Sweep
from sweeper.store.left import checksum
from sweeper.training import checkpoint
from sweeper.training.classifier import load_classifier
from sweeper.trial import Trial

FILE = """
name: seen
data: {name: digits, image_size: 16, augment: [], split: {train: 0.2, val: 0.1, test: 0.1}}
model: {name: alexnet, compact: true}
train: {epochs: 1, batch_size: 64, lr: 0.01}
search: {space: {lr: [0.01, 0.001]}}
"""
AUTOMATIC = {"saliency.png", "kernels.png", "kernels_deep.png", "histograms.png"}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explained")
    (folder / "seen.yaml").write_text(FILE)
    done = here("run", folder / "seen.yaml", "--storage", folder / "sweeps", "--executor", "inline")
    assert "could not be drawn" not in done.stderr
    return folder / "sweeps"


@pytest.fixture(scope="module")
def best(storage: Path) -> str:
    (model,) = storage.glob("seen/trials/*/artifacts/model.pt")
    return model.parents[1].name


@pytest.fixture
def copied(storage: Path, tmp_path: Path) -> Path:
    shutil.copy(storage.parent / "seen.yaml", tmp_path)
    return Path(shutil.copytree(storage, tmp_path / "copied"))


class Page(HTMLParser):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, wanted: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == wanted]


def test_the_best_trial_has_its_pictures_after_a_run_and_the_other_none_of_these(storage: Path, best: str) -> None:
    for folder in (storage / "seen" / "trials").iterdir():
        pictures = {path.name for path in (folder / "artifacts" / "pictures").iterdir()}
        assert pictures.issuperset({"predictions.png", "confusion.png"})
        assert pictures.isdisjoint(AUTOMATIC) == (folder.name != best)
        assert folder.name != best or pictures.issuperset(AUTOMATIC)


def test_pictures_that_are_there_are_left_as_they_are(copied: Path, best: str) -> None:
    pictures = Sweep(str(copied), "seen").trial(best).pictures
    pictures.write("saliency.png", b"mine")
    draw_explanation(Sweep(str(copied), "seen"), best)
    assert pictures.read("saliency.png") == b"mine"


def test_the_dashboard_draws_what_a_trial_asked_for_lacks(copied: Path, best: str, tmp_path: Path) -> None:
    pictures = Sweep(str(copied), "seen").trial(best).pictures
    pictures.remove("saliency.png")
    here("dashboard", "seen", "--pictures", best, "--storage", copied, "-o", tmp_path / "page.html")
    assert pictures.exists("saliency.png")


def test_the_page_holds_every_picture_and_asks_for_nothing(storage: Path, best: str, tmp_path: Path) -> None:
    done = here("explain", "seen", "--storage", storage, cwd=tmp_path)
    folder = tmp_path / f"seen-{best}"
    assert done.stdout.strip() == str(folder / "index.html")
    page = Page(folder / "index.html")
    shown = [base64.b64decode((one["src"] or "").removeprefix("data:image/png;base64,")) for one in page.all("img")]
    names = [*(f"image-{at}.png" for at in range(1, 9)), "kernels.png", "kernels_deep.png", "histograms.png"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "index.html"])
    assert shown == [(folder / name).read_bytes() for name in names]
    assert not page.all("script")
    (policy,) = [one["content"] or "" for one in page.all("meta") if one.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_probabilities_are_torchs_topk_of_the_logged_model(storage: Path, best: str, tmp_path: Path) -> None:
    noise = tmp_path / "tall.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 20, 4), np.uint8), "RGBA").save(noise)
    here("explain", "seen", noise, "--trial", best[:6].upper(), "--storage", storage, "-o", tmp_path / "out")
    folder = Sweep(str(storage), "seen").trial(best)
    classifier = load_classifier(folder.artifacts, folder.read_trial().settings.model)
    with torch.no_grad():
        image_NCHW = torch.from_numpy(np.array(decode(noise.read_bytes(), 16)))[None]
        likely_T, classes_T = classifier(image_NCHW)[0].softmax(0).topk(5)
    page = Page(tmp_path / "out" / "index.html")
    assert [float(one["value"] or "nan") for one in page.all("meter")] == pytest.approx(likely_T.tolist(), abs=1e-6)
    said = re.findall(r"^(\d)(\d+\.\d) %", page.text, re.M)
    assert [int(name) for name, _ in said] == classes_T.tolist()
    assert "The class is not known." in page.text


def test_half_of_the_images_are_right_and_the_others_the_most_confident_mistakes(
    storage: Path, best: str, tmp_path: Path
) -> None:
    here("explain", "seen", "--storage", storage, "-o", tmp_path / "out")
    table = pd.read_parquet(storage / "seen" / "trials" / best / "artifacts" / "predictions.parquet").query(
        "split == 'test'"
    )
    wrong = table[table.label != table.prediction].sort_values("confidence", ascending=False, kind="stable")
    page = (tmp_path / "out" / "index.html").read_text()
    sources = re.findall(r"<h3>(\S+/\d+)</h3>", page)
    count = min(4, len(wrong))
    assert sources[len(sources) - count :] == wrong["sample"].tolist()[:count]
    right = set(table[table.label == table.prediction]["sample"])
    assert set(sources[: len(sources) - count]) <= right


def test_the_class_of_a_file_is_known_by_a_folder_of_that_name(storage: Path, tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "7" / "one.gif")
    here("explain", "seen", tmp_path / "7" / "one.gif", "--storage", storage, "-o", tmp_path / "out")
    assert "Class: <b>7</b>" in (tmp_path / "out" / "index.html").read_text()


def test_the_class_of_a_file_is_known_by_a_folder_named_by_its_id(copied: Path, best: str, tmp_path: Path) -> None:
    table = copied / "seen" / "trials" / best / "artifacts" / "per_class.csv"
    table.write_text(re.sub(r"(?m)^(\w+,7,7),7,", r"\1,n01443537,", table.read_text()))
    trial = Sweep(str(copied), "seen").trial(best)
    trial.write_result(replace(trial.read_result(), artifacts={"per_class.csv": checksum(table.read_bytes())}))
    file = tmp_path / "n01443537" / "images" / "one.png"
    file.parent.mkdir(parents=True)
    Image.new("L", (9, 9)).save(file)
    here("explain", "seen", file, "--storage", copied, "-o", tmp_path / "out")
    assert "Class: <b>7</b>" in (tmp_path / "out" / "index.html").read_text()


def test_a_layers_kernels_are_shown_by_its_name(storage: Path, tmp_path: Path) -> None:
    here("explain", "seen", "--layer", "features.6", "--storage", storage, "-o", tmp_path / "out")
    assert "Kernels of features.6" in (tmp_path / "out" / "index.html").read_text()


def test_names_of_files_are_text_on_the_page(storage: Path, tmp_path: Path) -> None:
    odd = tmp_path / "<script>alert(1)<" / "b>🐟.png"
    odd.parent.mkdir()
    Image.new("RGB", (16, 16)).save(odd)
    here("explain", "seen", odd, "--storage", storage, "-o", tmp_path / "out")
    page = Page(tmp_path / "out" / "index.html")
    assert not page.all("script")
    assert "<script>alert(1)<" in page.text


# What cannot be explained


def told(storage: Path, tmp_path: Path, *words: object) -> str:
    return here("explain", "seen", *words, "--storage", storage, "-o", tmp_path / "out", expect=2).stderr


def test_an_unknown_trial_is_told_with_the_nearest(storage: Path, best: str, tmp_path: Path) -> None:
    wrong = best[:-1] + ("0" if best[-1] != "0" else "1")
    assert f"did you mean {best}" in told(storage, tmp_path, "--trial", wrong)
    assert "no trial has a key that begins with ''" in told(storage, tmp_path, "--trial", "")


def test_an_unknown_layer_is_told_with_all_there_are(storage: Path, tmp_path: Path) -> None:
    message = told(storage, tmp_path, "--layer", "features.1")
    assert "no convolution 'features.1'" in message
    assert "features.0, features.3, features.6" in message
    assert not (tmp_path / "out").exists()


def test_a_model_that_was_not_kept_is_told(storage: Path, best: str, tmp_path: Path) -> None:
    (other,) = {path.name for path in (storage / "seen" / "trials").iterdir()} - {best}
    message = told(storage, tmp_path, "--trial", other)
    assert f"trial {other} has no model.pt" in message
    assert "artifacts.models=all" in message


@pytest.mark.parametrize("is_narrowed", [False, True], ids=["another trial", "the best of a narrowed file"])
def test_what_is_said_to_do_about_a_model_that_was_not_kept_brings_it(
    is_narrowed: bool, copied: Path, best: str, tmp_path: Path
) -> None:
    (other,) = {path.name for path in (copied / "seen" / "trials").iterdir()} - {best}
    run = ["run", copied.parent / "seen.yaml", "--storage", copied, "--executor", "inline"]
    if is_narrowed:
        lr = Sweep(str(copied), "seen").trial(other).read_trial().cell["lr"]
        run += ["--set", f"search.space.lr=[{lr}]"]
        here(*run)
    explain = ["explain", "seen", *([] if is_narrowed else ["--trial", other]), "--storage", copied]
    message = here(*explain, expect=2).stderr
    assert f"trial {other} has no model.pt" in message
    assert (f"Explain the best trial, {best}," in message) is not is_narrowed
    assert ("xplain the best" in message) is not is_narrowed
    (folder,) = re.findall(r"[Rr]emove (\S+) and run the file again", message)
    shutil.rmtree(folder)
    here(*run, "--set", "artifacts.models=all")
    here(*explain, "-o", tmp_path / "out")
    assert (tmp_path / "out" / "index.html").exists()


def test_every_file_that_is_no_image_is_named(storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, bomb, gone = tmp_path / "text.png", tmp_path / "bomb.png", tmp_path / "gone.png"
    text.write_text("not an image")
    Image.new("1", (300, 300)).save(bomb)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    message = told(storage, tmp_path, text, bomb, gone, tmp_path)
    for part in (
        f"{text} (not an image",
        f"{bomb} (Image size (90000 pixels)",
        f"{gone} (No such file",
        "Is a directory",
    ):
        assert part in message


@pytest.mark.parametrize(("name", "expected"), [("gone:net", "no module"), ("trials:pooled", "cannot be rebuilt")])
def test_a_users_network_whose_code_is_gone_is_told(copied: Path, best: str, name: str, expected: str) -> None:
    sweep, model = Sweep(str(copied), "seen"), {"name": name}
    was, content = sweep.trial(best).read_trial(), checkpoint.load(sweep.trial(best).artifacts, "model.pt")
    trial = Trial.of(was.number, was.cell, {**was.config, "model": model})
    sweep.trial(trial.key).write_trial(trial)
    checkpoint.save(sweep.trial(trial.key).artifacts, "model.pt", {**content, "model": model})
    sweep.write_experiment(yaml.safe_dump({**yaml.safe_load(sweep.experiment()), "model": model}))
    with pytest.raises((ExplanationError, ModelError), match=expected):
        open_classifier(sweep, trial.key)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "train.lr=1"), "--set goes with --augment"),
        (("--augment", "--trial", "ab"), "leave images, --trial and --layer out"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    storage: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    assert message in told(storage, tmp_path, *words)


def test_a_file_where_the_folder_should_be_is_told(storage: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    assert "is a file; give the name of a folder" in told(storage, tmp_path)


# At the end of a run


def test_what_cannot_be_explained_costs_a_run_nothing_but_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(sweep: Sweep, key: str) -> None:
        raise ArithmeticError("no\nway")

    monkeypatch.setattr("sweeper.explanation.draw_explanation", broken)
    (tmp_path / "seen.yaml").write_text(FILE.replace("[0.01, 0.001]", "[0.01]"))
    words = ("run", tmp_path / "seen.yaml", "--storage", tmp_path / "sweeps", "--executor", "inline")
    lines = [line for line in here(*words).stderr.splitlines() if "could not be drawn" in line]
    assert len(lines) == 1
    assert "(ArithmeticError: no way)" in lines[0]
    assert "sweeper explain seen --storage" in lines[0]
    assert "could not be drawn" not in here(*words).stderr
