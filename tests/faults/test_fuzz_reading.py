"""Experiment files as nobody should write them: read, or refused with exit code 2 and a sentence that names file and line."""

import re
import tempfile
from pathlib import Path

import pytest
import yaml
from command import here
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeper.experiment import to_plain
from sweeper.reading import read_experiment, write_experiment
from sweeper.reading.mistakes import ExperimentError
from tests.test_reading import BASE, DESIGN

ALWAYS_WRONG = (
    b"\nno_such_section: {}\n"  # so that nothing of a file which is right otherwise is planned, which takes a second
)
TOKENS = (
    "", "-", "- ", ":", ": ", "?", "? ", "|", ">", "|+2", "!!int", "!!binary aGk=",
    "!!python/object/apply:os.system [ls]", "&a", "*a", "&a [*a]", "<<: *a", "<<: 1", "<<", "[", "]", "{", "}",
    "[[", "{}", "[]", "{a: b}", "[1, 2", '"', "'", '"\\x', "#", "\t", "\x00", "\x85", "\u2028", "\ufeff",
    "\ud7ff", "🐟", "%YAML 1.1", "---", "...", "~", "null", "true", "no", "1", "-1", "0", "0.5", "1e400",
    "-.inf", ".nan", "9" * 40, "9" * 5000, "1e-400", "0x1F", "0x" + "f" * 4000, "0o17", "1_000", "2026-01-01", "12:30:45",
    "${HOME}", "../..", "/etc/passwd", "http://user:secret@host", "a.b.c", "a" * 3000, "[" * 200, "{a: " * 60,
    "- " * 100, "train.lr", "model.name", "name", "grid", "tpe", "random", "official", "folder", "digits",
    "{uniform: [0, 1]}", "{log_uniform: [0, 1]}", "{int: [0, 1e9]}", "[[1, 2], [3]]", "{name: focal}",
    "{name: {name: name}}", "os:system", "nowhere.at:all", "{from_sweep: other}",
)  # fmt: skip
CALM = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much])
THIRD = settings(CALM, max_examples=settings().max_examples // 3)  # a whole command takes its time


def check_told(told: str, place: str) -> None:
    """What is told of a file: a sentence a line, each beginning with the place, with a line of the file where it is known."""
    lines = told.splitlines()
    assert lines[0].startswith("sweeper: ")
    assert re.match(rf"sweeper: (Invalid value for .*: )?{re.escape(place)}(:\d+)?[: ]", lines[0]), told
    assert "Traceback" not in told
    assert told.encode()


def planned(content: bytes, *words: str) -> str:
    """What `sweeper plan` says of a file that is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a file.yaml")
        file.write_bytes(content)
        done = here("plan", file, *words, "--storage", folder, expect=2)
        assert done.stdout == ""
        return done.stderr.replace(folder + "/", "")


def check_read_or_refused(text: str) -> None:
    """A file that is right is the same when it is written and read again; of one that is not, each mistake has its place."""
    try:
        experiment, mistakes = read_experiment(text, "f.yaml"), []
    except ExperimentError as error:
        experiment, mistakes = None, error.mistakes
    if experiment:
        assert read_experiment(write_experiment(experiment), "again.yaml") == experiment
        assert read_experiment(yaml.safe_dump(to_plain(experiment)), "again.yaml") == experiment
    assert bool(experiment) != bool(mistakes)
    last = len(re.split("\r\n|[\r\n\x85\u2028\u2029]", text))
    for mistake in mistakes:
        file, _, line = mistake.place.partition(":")
        assert file == "f.yaml"
        assert line == "" or 1 <= int(line) <= last
        assert len(str(mistake)) > len(mistake.place) + 10


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A right file with a few lines and words of it changed, moved, doubled or gone."""
    text = draw(st.sampled_from([BASE, DESIGN, re.sub("#.*", "", DESIGN)]))
    for _ in range(draw(st.integers(1, 4))):
        lines = text.splitlines()
        at = draw(st.integers(0, max(0, len(lines) - 1)))
        line = lines[at] if lines else ""
        words = re.split(r"(\s+|[\[\]{},:])", line)
        word = draw(st.integers(0, len(words) - 1))
        token = draw(st.sampled_from(TOKENS))
        match draw(st.sampled_from(["word", "before", "line", "gone", "twice", "moved", "indented", "cut"])):
            case "word":
                lines[at : at + 1] = ["".join([*words[:word], token, *words[word + 1 :]])]
            case "before":
                lines[at : at + 1] = ["".join([*words[:word], token, *words[word:]])]
            case "line":
                lines.insert(at, token)
            case "gone":
                del lines[at : at + 1]
            case "twice":
                lines.insert(at, line)
            case "moved":
                del lines[at : at + 1]
                lines.insert(draw(st.integers(0, len(lines))), line)
            case "indented":
                lines[at : at + 1] = [draw(st.sampled_from(["  ", " ", "\t", "- "])) + line]
            case "cut":
                lines = [*lines[:at], line[: draw(st.integers(0, len(line)))]]
        text = "\n".join(lines) + draw(st.sampled_from(["", "\n", "\r\n"]))
    return text


@CALM
@given(mutated())
def test_a_mutated_experiment_is_read_or_refused_with_the_places_of_its_mistakes(text: str) -> None:
    check_read_or_refused(text)


@THIRD
@given(mutated())
def test_a_mutated_experiment_ends_with_exit_code_2_and_a_sentence(text: str) -> None:
    check_told(planned(text.encode() + ALWAYS_WRONG), "a file.yaml")


@THIRD
@given(st.binary(max_size=60), st.sampled_from([b"", BASE.encode(), BASE.encode() + b"train: "]))
def test_any_bytes_end_with_exit_code_2_and_a_sentence(content: bytes, start: bytes) -> None:
    check_told(planned(start + content + ALWAYS_WRONG), "a file.yaml")


PATHS = ("train.lr", "search.space.lr", "model", "model.dropout", "data.split", "seeds", "lr", "", ".", "name", "a..b")
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@THIRD
@given(
    st.sampled_from(PATHS) | WORDS,
    st.sampled_from(TOKENS).filter(lambda token: "\0" not in token) | WORDS,
    st.sampled_from(["=", "", "=="]),
)
def test_any_setting_ends_with_exit_code_2_and_a_sentence(path: str, value: str, equals: str) -> None:
    """The file has a mistake of its own, which is told beside that of the setting, if it has one."""
    told = planned(BASE.encode() + ALWAYS_WRONG, "--set=" + path + equals + value)
    assert told.startswith("sweeper: ")
    assert "Traceback" not in told
    assert "a file.yaml:5: no_such_section: unknown key" in told or "--set" in told


ENDLESS = {
    "lists": "[" * 10**4,
    "mappings": "{a: " * 10**4,
    "items": "- " * 10**4,
    "keys": "? " * 10**4,
    "one key": "a: &a [x]\n" + "b: *a\n" * 2000,
    "a tag": "!" * 10**5,
    "a text": "'" + "x" * 10**5,
}


@pytest.mark.parametrize("case", ENDLESS)
def test_depth_and_size_without_bound_are_refused_in_time(case: str) -> None:
    check_told(planned(BASE.encode() + ENDLESS[case].encode()), "a file.yaml")
