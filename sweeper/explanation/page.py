"""`sweeper explain`'s folder: PNG files and one page that holds them all."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from sweeper.explanation import (
    Explained,
    ExplanationError,
    choose_layer,
    draw_saliency,
    draw_weights,
    explained,
    folder_classes,
    handful,
    open_classifier,
    read_examples,
)
from sweeper.store import Folder, Record, Sweep
from sweeper.training.saliency import Convolution, convolutions, last_convolution

EXAMPLES = 8
HEADINGS = {
    "kernels.png": "Kernels of the first convolution",
    "kernels_deep.png": "Kernels of a deeper convolution",
    "histograms.png": "Weights, layer by layer",
}
STYLE = """
:root { color-scheme: light dark; --ink: #20242a; --paper: #faf9f6; --line: #e5e2db; --right: #1a7f37; --wrong: #c4262e }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #14171b; --line: #2e343b; --right: #4fbf70; --wrong: #ff7b72 }
}
body { margin: 0 auto; max-width: 60rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); overflow-wrap: anywhere }
article { border-top: 1px solid var(--line); padding: .5rem 0 1rem }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px }
table { border-collapse: collapse } td, th { padding: .1rem 1rem .1rem 0; text-align: left }
.number { text-align: right; font-variant-numeric: tabular-nums } .truth td, .right, .wrong { font-weight: 600 }
.right { color: var(--right) } .wrong { color: var(--wrong) } meter { width: 8rem }
"""


def write_explanation(sweep: Sweep, record: Record, images: Sequence[Path], layer: str | None, to: Folder) -> str:
    """Explain a trial's network on image files, or on some of its test images; returns where the page is.

    Raises ExplanationError, ModelError, DataError and SaliencyError for what the user can mend.
    """
    if to.is_local and Path(to.path).is_file():
        raise ExplanationError(f"{to.path} is a file; give the name of a folder with -o")
    key = record.trial.key
    classifier = open_classifier(sweep, key)
    artifacts = sweep.trial(key).left(record.result)
    if images:
        examples = read_examples(images, classifier.image_size, folder_classes(classifier, artifacts))
    else:
        examples = handful(sweep, record, EXAMPLES)
    found = convolutions(classifier, examples[0].image_3SS[None])
    if layer:
        choose_layer(found, layer)
    answers = explained(classifier, examples)
    pictures = [draw_saliency(classifier, [answer]) for answer in answers]
    for at, picture in enumerate(pictures, 1):
        to.write(f"image-{at}.png", picture)
    names = draw_weights(classifier, found, artifacts, to, layer)
    weights = [(_heading(name, layer), to.read(name)) for name in names]
    to.write("index.html", _page(sweep, record, answers, pictures, weights, found).encode(errors="replace"))
    return to.at("index.html")


def _heading(name: str, layer: str | None) -> str:
    return f"Kernels of {layer}" if layer and name == "kernels_deep.png" else HEADINGS[name]


def _page(
    sweep: Sweep,
    record: Record,
    answers: Sequence[Explained],
    pictures: Sequence[bytes],
    weights: Sequence[tuple[str, bytes]],
    found: Sequence[Convolution],
) -> str:
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        files("sweeper.explanation").joinpath("page.html").read_text(encoding="utf-8")
    )
    last = last_convolution(list(found))
    summary = record.result.summary if record.result else {}
    return template.render(
        sweep=sweep.name,
        key=record.trial.key,
        trial=record.trial.name,
        model=record.trial.settings.model.name,
        metrics=[(name, f"{summary[name]:.4f}") for name in ("val/top1", "test/top1") if name in summary],
        style=STYLE,
        style_hash=_in_base64(hashlib.sha256(STYLE.encode()).digest()),
        grad_cam=last.name if last else None,
        entries=[_entry(answer, picture) for answer, picture in zip(answers, pictures, strict=True)],
        weights=[(heading, _in_base64(picture)) for heading, picture in weights],
        layers=[convolution.name for convolution in found],
    )


def _entry(answer: Explained, picture: bytes) -> dict[str, object]:
    return {
        "source": answer.example.source,
        "truth": answer.example.truth,
        "is_right": answer.is_right,
        "likeliest": answer.likeliest,
        "png": _in_base64(picture),
    }


def _in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
