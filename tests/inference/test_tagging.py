"""Training a tagger, and tagging the names in a text."""

import json
import re

import mlflow
import numpy as np
import pytest
from rich.console import Console

from experiments import tag
from tests.whole_runs import composed, connect
from unrolled import tracking
from unrolled.console.refusals import RefusedError
from unrolled.inference.loading import load_trained
from unrolled.sweeps.plan import make_plan
from unrolled.sweeps.provenance import tags_of
from unrolled.sweeps.run import run
from unrolled.sweeps.sweep import Sweep

TINY = ["model.units=8", "budget.epochs=3", "training.learning_rate=0.02"]


@pytest.fixture(scope="module")
def trained(shared_store):
    """A store with a tagger of generated sentences."""
    with shared_store() as (folder, uri):
        sizes = ["budget.train_examples=400", "budget.evaluation_examples=100"]
        cfg = composed("task=names", "cell=simple_rnn", "task.distance.max=4", *TINY, *sizes)
        return uri, run(cfg, folder / "run")


@pytest.fixture
def result(trained, monkeypatch):
    connect(trained[0], monkeypatch)
    return trained[1]


@pytest.fixture(scope="module")
def model(trained):
    """The tagger of that run."""
    uri, result = trained
    with pytest.MonkeyPatch.context() as patch:
        connect(uri, patch)
        return load_trained(result.run_id, tag.KIND)


@pytest.fixture
def loaded(model, monkeypatch):
    """The program takes that tagger without loading it again."""
    monkeypatch.setattr(tag, "load_trained", lambda *_: model)


def bare(line):
    """Returns a line without its brackets."""
    return re.sub(r"\[\w+ ([^]]*)\]", r"\1", line)


def asked(capsys, *arguments):
    assert tag.main(list(arguments)) == 0
    return capsys.readouterr().out.split("\n")[:-1]


def test_a_run_stores_tables_a_confusion_matrix_and_the_word_encoder(result):
    assert result.metrics["f1"] > 0.5
    folder = mlflow.artifacts.download_artifacts(run_id=result.run_id)
    names = {a.path for a in mlflow.MlflowClient().list_artifacts(result.run_id)}
    assert {"entities_by_type.json", "worst_sentences.json", "types_of_words.png"} <= names
    with open(f"{folder}/entities_by_type.json") as file:
        table = json.load(file)
    f1 = dict(zip(table["columns"], table["data"][-1], strict=True))["f1"]
    assert f1 == pytest.approx(result.metrics["f1"])
    losses = mlflow.MlflowClient().get_metric_history(result.run_id, "test/loss by step")
    assert len(losses) > 5
    rates = result.history["learning_rate"]
    assert rates[0] > rates[1] > rates[2] == pytest.approx(0, abs=1e-6)


def test_names_are_bracketed_in_a_pipe(result, capsys):
    out = asked(capsys, f"run={result.run_id}", 'text=Mary Johnson read : " Rose said in Paris . "')
    assert (
        re.sub(r"\[\w+ ([^]]*)\]", r"\1", out[0]) == 'Mary Johnson read : " Rose said in Paris . "'
    )
    assert "[LOC Paris]" in out[0]
    assert "[PER Mary Johnson]" in out[0]


@pytest.mark.usefixtures("result")
def test_lines_of_a_file_remain_lines(capsys, tmp_path):
    path = tmp_path / "lines.txt"
    lines = [
        "Mary wept in Oslo .",
        "",
        "Zyxtsky\tin   Lima",
        "🐻 Ünseen 漢字",
        "in Oslo " * 500,
        "  ",
        "Paris\u2028is\x0cbig",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    out = asked(capsys, "run=latest", f"file={path}")
    assert len(out) == len(lines)
    assert list(map(bare, out)) == [" ".join(line.split()) for line in lines]
    assert out[4].count("[LOC Oslo]") > 400


@pytest.mark.usefixtures("loaded")
def test_the_tags_of_a_line_do_not_depend_on_other_lines(capsys, tmp_path):
    path = tmp_path / "lines.txt"
    lines = ["Rose wept .", 'Mary Baker explained : " Rose , in fact , wilted in Lima . "']
    path.write_text("\n".join(lines))
    together = asked(capsys, f"file={path}")
    alone = [asked(capsys, f"text={line}")[0] for line in lines]
    assert together == alone


@pytest.mark.usefixtures("loaded")
def test_names_are_colored_on_a_terminal_with_a_legend(capsys, monkeypatch):
    console = Console(force_terminal=True, color_system="standard", width=300)
    monkeypatch.setattr(tag, "say", console)
    assert tag.main(["text=Mary Johnson explained : in Paris"]) == 0
    out = capsys.readouterr().out
    assert "\x1b[" in out
    assert "[LOC" not in out
    heading, legend, line = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
    assert "names" in heading
    assert legend.split() == ["LOC", "ORG", "PER"]
    assert line == "Mary Johnson explained : in Paris"
    assert re.search(r"\x1b\[[0-9;]*mMary Johnson\x1b", out)


@pytest.mark.usefixtures("store")
def test_a_run_without_a_tagger_raises():
    adding = composed("task=adding", "cell=gru")
    with tracking.TrackedRun("e", "another", tags_of(adding, Sweep()), {}) as other:
        pass
    with pytest.raises(RefusedError, match=r"expected a tagger, but .* was trained on adding"):
        tag.main([f"run={other.run_id}", "text=a"])


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model.head=viterbi"], "model.head: expected one of softmax, crf"),
        (["model.word_dropout=1"], "model.word_dropout: expected a number of at least 0 and less"),
        (["training.decay=0.5"], "training.decay: got 0.5, with schedule=cosine"),
        (["training.schedule=step"], "training.schedule: expected one of constant, cosine"),
        (["task=conll"], "task.path: the task conll has no default"),
    ],
)
def test_invalid_options_of_a_tagger_raise_before_training(overrides, told):
    with pytest.raises(RefusedError, match=re.escape(told)):
        make_plan(["task=names", "cell=gru", *overrides])


@pytest.mark.usefixtures("store")
def test_a_tagger_learns_from_user_files(tmp_path, capsys):
    for name, sentences in (("train", 60), ("dev", 10), ("test", 10)):
        rng = np.random.default_rng(len(name))
        lines = []
        for _ in range(sentences):
            who = rng.choice(["Ada", "Bob", "Eve"])
            lines.append(f"1 {who} I-PER O\n2 saw O O\n3 {rng.choice(['Rome', 'Oslo'])} I-LOC O\n")
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    files = [f"task.path={tmp_path}", "task.columns=[id,word,tag,_]"]
    model = ["cell=simple_rnn", "model.direction=forward", "model.head=softmax"]
    cfg = composed("task=conll", *files, *model, *TINY)
    found = run(cfg, tmp_path / "run")
    assert found.metrics["f1"] > 0.9
    out = asked(capsys, f"run={found.run_id}", "text=Eve saw Oslo")
    assert out == ["[PER Eve] saw [LOC Oslo]"]
