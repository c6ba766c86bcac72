"""Programs that use trained models: their output and their errors."""

import os
import subprocess

import mlflow
import numpy as np
import pytest

from experiments import sample, score
from tests.whole_runs import composed, connect
from unrolled import tracking
from unrolled.console.refusals import RefusedError
from unrolled.inference.generation import generate_text, load_language_model
from unrolled.inference.options import FROM_MAKE, any_text, options_of
from unrolled.project import CONFIGURATION
from unrolled.sweeps.provenance import tags_of
from unrolled.sweeps.run import run
from unrolled.sweeps.sweep import Sweep

TINY = [
    "cell=gru",
    "model.units=8",
    "training.batch_size=8",
    "training.window=20",
    "task.train_tokens=3000",
    "task.evaluation_tokens=1000",
    "budget.epochs=1",
]


@pytest.fixture(scope="module")
def trained(shared_store):
    """A store with models of characters and of words, a run of another task, and a sweep.

    The model of characters is the last one trained, and the better run of the sweep.
    """
    with shared_store() as (folder, uri):
        adding = composed("task=adding", "cell=gru")
        with tracking.TrackedRun("e", "another", tags_of(adding, Sweep()), {}) as other:
            pass
        words = run(composed("task=pydoc_word", *TINY, "training.window=10"), folder / "words")
        parent = tracking.start_sweep("e", "a bad and a good one", {})
        failed = tracking.TrackedRun("e", "lost", {"model": "language"}, {}, parent.run_id)
        failed.fail("no space left")
        sweep = Sweep("e", parent.run_id, ["training.learning_rate"])
        bad, good = [
            run(composed("task=pydoc_char", *TINY, f"training.learning_rate={rate}"), path, sweep)
            for rate, path in ((1e-6, folder / "bad"), (0.01, folder / "good"))
        ]
        parent.finish()
    return uri, {
        "sweep": parent.run_id,
        "failed": failed.run_id,
        "other": other.run_id,
        "words": words.run_id,
        "bad": bad.run_id,
        "characters": good.run_id,
    }


@pytest.fixture
def ids(trained, monkeypatch):
    uri, runs = trained
    connect(uri, monkeypatch)
    return runs


@pytest.fixture(scope="module")
def models(trained):
    """The models of characters and of words, by name."""
    uri, runs = trained
    with pytest.MonkeyPatch.context() as patch:
        connect(uri, patch)
        return {name: load_language_model(runs[name]) for name in ("characters", "words")}


@pytest.fixture
def loaded(ids, models, monkeypatch):
    """The same models, which the programs take by their ids without loading them again."""
    by_id = {ids[name]: model for name, model in models.items()}
    for program in (score, sample):
        monkeypatch.setattr(program, "load_language_model", by_id.__getitem__)
    return models


def test_a_text_is_scored_token_by_token(ids, models, capsys):
    assert score.main([f"run={ids['characters']}", "text=the cat"]) == 0
    out = capsys.readouterr().out
    loaded = models["characters"]
    tokens = loaded.tokenizer.encode("the cat")
    losses = loaded.model.negative_log_likelihoods(tokens, loaded.tokenizer.start)
    assert f"log P {-losses.sum():.2f} nats, 7 tokens" in out
    assert f"perplexity {np.exp(losses.mean()):.1f}" in out
    for loss in losses:
        assert f"{-loss:.2f}" in out


def test_texts_are_ranked_and_unknown_words_are_marked(ids, loaded, capsys):
    assert score.main([f"run={ids['words']}", "text=the zyxt|the statement"]) == 0
    out = capsys.readouterr().out
    assert "zyxt (as <UNK>)" in out
    assert "A word read as <UNK> has the probability of all unknown words" in " ".join(out.split())
    assert "<EOS>" in out
    words = loaded["words"]

    def log_p(text):
        tokens = words.tokenizer.encode(text)
        return -words.model.negative_log_likelihoods(tokens, words.tokenizer.start).sum()

    ranked = sorted(["the zyxt", "the statement"], key=log_p, reverse=True)
    shown = out.rpartition("Most probable first")[2]
    assert shown.index(ranked[0]) < shown.index(ranked[1])
    assert f"{log_p(ranked[1]):.2f}" in shown


@pytest.mark.usefixtures("loaded")
def test_every_character_counts_for_a_character_model(ids, capsys):
    assert score.main([f"run={ids['characters']}", "text= a\n"]) == 0
    assert "nats, 3 tokens" in capsys.readouterr().out
    assert score.main([f"run={ids['characters']}", "text= a | b "]) == 0
    assert capsys.readouterr().out.count("nats, 2 tokens") == 2
    for name, text in (("characters", "a||b"), ("words", " ")):
        with pytest.raises(RefusedError, match=r"text: expected something to read, got '"):
            score.main([f"run={ids[name]}", f"text={text}"])


@pytest.mark.usefixtures("loaded")
def test_markup_in_texts_is_not_interpreted(ids, capsys):
    assert score.main([f"run={ids['characters']}", "text=a [/b] :cat:|[bold]b"]) == 0
    table = capsys.readouterr().out.rpartition("Most probable first")[2]
    assert "a [/b] :cat:" in table
    assert "[bold]b" in table


@pytest.mark.usefixtures("loaded")
def test_texts_and_generated_texts_are_escaped(ids, capsys, monkeypatch):
    run = f"run={ids['characters']}"
    assert score.main([run, "text=a\x1b[2J\x07|b\u202ec\udcff"]) == 0
    scored = capsys.readouterr().out
    assert r"a\x1b[2J" in scored
    assert r"b\u202ec\udcff" in scored
    monkeypatch.setattr(
        sample, "generate_text", lambda *_, **__: iter(["a", "\x1b", "[2J\r", "\n"])
    )
    assert sample.main([run, "prompt=The "]) == 0
    sampled = capsys.readouterr().out
    assert "The a\\x1b[2J\\r\n" in sampled
    for out in (scored, sampled):
        assert all(sign.isprintable() or sign == "\n" for sign in out)


@pytest.mark.usefixtures("loaded")
def test_texts_can_be_read_from_a_file(ids, tmp_path, capsys):
    path = tmp_path / "texts.txt"
    path.write_text("one text\n\nanother\n")
    assert score.main([f"run={ids['characters']}", f"file={path}"]) == 0
    assert "another" in capsys.readouterr().out


def test_the_seed_determines_the_continuation_of_a_prompt(ids, models, capsys, monkeypatch):
    """Only the first time does the program load the model itself."""
    said, loaded = [], models["characters"]
    for seed in (1, 1, 2):
        arguments = [f"run={ids['characters']}", "prompt=The ", "length=30", f"seed={seed}"]
        assert sample.main(arguments) == 0
        said.append(capsys.readouterr().out.split("\n", 1)[1].rpartition("30 tokens")[0])
        monkeypatch.setattr(sample, "load_language_model", lambda _: loaded)
    assert said[0] == said[1] != said[2]
    prompt = loaded.tokenizer.encode("The ")
    drawn = generate_text(loaded.model, loaded.tokenizer, prompt, length=30, seed=1)
    assert said[0] == f"The {''.join(drawn)}\n"


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("prompt", ["", "\N{SNOWMAN}", "x" * 10_000])
def test_any_prompt_is_accepted(ids, prompt, capsys):
    assert sample.main([f"run={ids['characters']}", f"prompt={prompt}", "length=3"]) == 0
    assert "3 tokens" in capsys.readouterr().out


def test_words_end_with_their_sentence(models):
    loaded = models["words"]
    settings = {"length": 500, "temperature": 1.0}
    prompt = loaded.tokenizer.encode("")
    texts = [
        list(generate_text(loaded.model, loaded.tokenizer, prompt, number=n, **settings))
        for n in range(3)
    ]
    assert min(map(len, texts)) < 500
    assert not any("<" in piece for text in texts for piece in text if "PAD" in piece)
    assert "<UNK>" not in "".join(texts[0])


def test_latest_is_the_last_trained_model(ids):
    assert ids["characters"] in load_language_model("latest").name


def test_each_epoch_stores_a_sample(ids):
    artifacts = mlflow.MlflowClient().list_artifacts(ids["characters"], "samples")
    assert [each.path for each in artifacts] == ["samples/epoch_001.txt"]
    written = mlflow.artifacts.load_text(f"runs:/{ids['characters']}/samples/epoch_001.txt")
    assert len(written.strip()) > 50


def test_the_best_run_of_a_sweep_by_validation_is_used(ids):
    assert ids["characters"] in load_language_model(ids["sweep"]).name


def test_runs_without_a_language_model_raise(ids):
    with pytest.raises(RefusedError, match=r"no run 'nonsense'"):
        load_language_model("nonsense")
    with pytest.raises(RefusedError, match=r"expected a language model, but .* on adding"):
        load_language_model(ids["other"])
    with pytest.raises(RefusedError, match=r"'lost' is FAILED and has no model. no space"):
        load_language_model(ids["failed"])


def test_a_run_without_its_files_raises(ids, monkeypatch):
    def gone(*_):
        raise OSError("deleted")

    monkeypatch.setattr(tracking, "files_of", gone)
    with pytest.raises(RefusedError, match=r"cannot be read \(OSError: deleted\)"):
        load_language_model(ids["characters"])


@pytest.mark.usefixtures("store")
def test_without_a_model_the_message_says_how_to_train_one():
    with pytest.raises(RefusedError, match=r"expected a language model, but none has"):
        load_language_model("latest")


@pytest.mark.parametrize(
    "typed", ['it\'s $5 "now" # a|b  c', "ROMEO:\nWhat", r"a\b \ c\\ ", "a PYTHON=3 b"]
)
def test_texts_are_passed_through_make_unchanged(typed, monkeypatch):
    # These tests run below `make test`, of which this make must know nothing.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    shown = subprocess.run(
        ["make", "--dry-run", "score", f"text={typed}", "PYTHON=python3"],
        cwd=CONFIGURATION.parent,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout
    command = "MAKE_OVERRIDES=" + shown.rpartition("MAKE_OVERRIDES=")[2].rpartition(" .venv")[0]
    program = "import os; print(os.environ['MAKE_OVERRIDES'], end='')"
    command += f' python3 -c "{program}"'
    made = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    monkeypatch.setenv("MAKE_OVERRIDES", made.stdout)
    assert options_of([FROM_MAKE], {"text": any_text()}) == {"text": typed}
