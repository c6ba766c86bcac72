"""Data files and model files that are not what they should be.

Each is refused before anything is trained, in one paragraph that says what was expected, what came
and what to do. Nothing in it can steer the terminal.
"""

import gzip
import io
import json
import os
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import score, tag
from unrolled import layers, tracking
from unrolled.console.printable import printable
from unrolled.console.refusals import RefusedError
from unrolled.inference import generation, loading
from unrolled.models import build_language_model, build_model, build_tagger
from unrolled.tasks.base.task import MissingDataError
from unrolled.tasks.data.pretrained_embeddings import read_vectors
from unrolled.tasks.language.corpora import text as read_corpus
from unrolled.tasks.language.tokenizers import CharacterTokenizer
from unrolled.tasks.tagging.columns import check_columns, read_columns
from unrolled.tasks.tagging.conll import read_folder
from unrolled.tasks.tagging.word_features import SHAPES, WordEncoder

REFUSALS = (ValueError, FileNotFoundError, MissingDataError)
LETTERS = "all work and no play makes jack a dull boy\n" * 30


def zipped(text):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.txt", text)
    return content.getvalue()


def binary(size=5000):
    return b"\x81" + np.random.default_rng(0).bytes(size)


def refused(read, *arguments):
    """The message of what refuses them."""
    with pytest.raises(REFUSALS) as caught:
        read(*arguments)
    return checked(str(caught.value))


def checked(message):
    """A message, if it is one short and harmless paragraph that says what was expected."""
    assert "\n" not in message
    assert printable(message) == message
    assert len(message) < 900
    assert "expected" in message.lower()
    return message


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "expected text, got the empty file"),
        (b" \n\t\n", "expected text, got the empty file"),
        ("abc é".encode("latin1"), "byte 4 (hexadecimal e9)"),
        ("abc é".encode("latin1"), "iconv -f latin1 -t utf-8 a.txt > converted.txt"),
        (LETTERS.encode("utf-16"), "got UTF-16"),
        (LETTERS.encode("utf-16"), "iconv -f utf-16 -t utf-8 a.txt"),
        (LETTERS.encode("utf-16-le"), "iconv -f utf-16le -t utf-8 a.txt"),
        (LETTERS.encode("utf-16-be"), "iconv -f utf-16be -t utf-8 a.txt"),
        (LETTERS.encode("utf-32"), "iconv -f utf-32 -t utf-8 a.txt"),
        (gzip.compress(LETTERS.encode(), mtime=0), "got a gzip file"),
        (zipped(LETTERS), "got a zip archive"),
        (b"%PDF-1.7\n" + binary(), "got a PDF file"),
        (binary(), "got binary data"),
        ((LETTERS + "\0" + LETTERS).encode(), f"got a NUL character at byte {30 * 43}"),
    ],
)
def test_texts(tmp_path, content, told):
    message = refused(read_corpus, written(tmp_path / "a.txt", content))
    assert told in message
    assert message.startswith("task.path: ")
    assert str(tmp_path) in message


GERMEVAL = "#\tsource [2009-10-17]\n1\tAda\tB-PER\tO\n2\tmet\tO\tO\n\n1\tBob\tB-PER\tO\n"
CONLL_U = "# text = Ada met\n1-2\tAdamet\t_\t_\n1\tAda\tADA\tB-PER\n2\tmet\tMEET\tO\n"
SENTENCE = "Ada B-PER\nmet O\nBob B-PER\n"


@pytest.mark.parametrize(
    ("text", "columns", "told"),
    [
        ("Ada X B-PER\nmet O\n", None, "3 columns as in the first line, got 2 in line 2 of"),
        (
            "Ada X B-PER\nmet O\n",
            None,
            "'met O'. Correct that line. An empty line ends a",
        ),
        ("Ada O\n\nmet X O\n", None, "expected 2 columns as in the first line, got 3 in line 3"),
        ("Ada\n", None, "expected a word and its tag, got 1 in line 1"),
        ("Ada O\n# text O = a\n", None, "got 5 in line 2 of"),
        ("Ada O\n# text O = a\n", None, "a comment must precede a sentence"),
        (
            "Ada O\nmet PER\n",
            None,
            "expected a tag in BIO or IOB1, O, B-<type> or I-<type>, in the",
        ),
        ("Ada O\nmet PER\n", None, "got 'PER' in line 2"),
        ("Ada B-\n", None, "got 'B-' in line 1"),
        ("#vote PER\nmet O\n", None, "got 'PER' in line 1"),
        ("Ada \x1b[31mPER\nmet O\n", None, r"got '\x1b[31mPER' in line 1"),
        ("Ada S-PER\nmet O\n", None, "replace S- and U- by B-, and E- and L- by I-"),
        ("Ada U-PER\nmet O\n", None, "This is a tag in BIOES or BILOU"),
        ("Ada b-PER\nmet o\n", None, "Write O, B and I in upper case."),
        ("Ada I-PER\nmet O\n\nthe O\nBob B-PER\n", None, "in line 1 of"),
        (
            "Ada I-PER\nmet O\n\nthe O\nBob B-PER\n",
            None,
            "and one with B in line 5",
        ),
        ("\n-DOCSTART- O\n", None, "expected sentences, got none"),
        (b"Ad\xe0 O\n", None, "byte 2 (hexadecimal e0)"),
        (SENTENCE.encode("utf-16"), None, "got UTF-16"),
        ("Ada B-PER\nmet\0 O\n", None, "got a NUL character at byte 13"),
        ("word " * 100_000, None, "got 'word' in line 1"),
        (
            "".join(f"word{n} O\n" for n in range(1001)),
            None,
            "an empty line after each sentence, got one sentence of 1001",
        ),
        (GERMEVAL, None, "got a number in every line, such as '1' in line 2"),
        (GERMEVAL, None, "'task.columns=[id,word,tag,_]'"),
        ("0 Ada B-PER\n1 met O\n2 Bob B-PER\n", None, "'task.columns=[id,word,tag]'"),
        ("7 Ada B-PER\n7 met O\n9 Bob B-PER\n", None, "'task.columns=[_,word,tag]'"),
        (
            CONLL_U.replace("1-2\tAdamet\t_\t_\n", "") + "3\tus\t_\tO\n",
            None,
            "got a number in every",
        ),
        (CONLL_U, None, "name the first column id in task.columns"),
        (
            "d1 Ada B-PER\nd1 met O\n\nd2 Bob B-PER\nd2 ran O\n",
            None,
            "the same value in all lines of each",
        ),
        ("B-PER Ada\nO met\n", None, "'task.columns=[tag,word]'"),
        ("Ada B-PER O\nmet X O\n", ["word", "tag", "_"], "in column 2, got 'X' in line 2"),
        (
            "Ada O B-PER\nmet O O\n",
            ["word", "_", "_", "tag"],
            "4 columns, as in task.columns, got",
        ),
        (GERMEVAL, ["word", "_", "tag", "_"], "expected words in column 1"),
        (GERMEVAL, ["_", "tag", "word", "_"], "'task.columns=[id,word,tag,_]'"),
        ("1 Ada O\n2 met O\n1 Bob O\n", ["id", "word", "tag"], "expected 3 in the column id"),
        (
            "1 Ada O\n2 met O\n1 Bob O\n",
            ["id", "word", "tag"],
            "Add a missing empty line before it",
        ),
    ],
)
def test_columns(tmp_path, text, columns, told):
    message = refused(read_columns, written(tmp_path / "train.txt", text), columns)
    assert told in message
    assert "train.txt" in message


@pytest.mark.parametrize(
    "columns",
    ["word tag", [], ["word"], ["word", "tag", "tag"], ["id", "id", "word", "tag"], [1, 2], 5],
)
def test_names_of_columns(columns):
    assert repr(columns) in refused(check_columns, columns)


def test_a_split_without_entities(tmp_path):
    for name in ("train.txt", "dev.txt", "test.txt"):
        written(tmp_path / name, SENTENCE)
    assert len(read_folder(tmp_path).test) == 1
    written(tmp_path / "dev.txt", "Ada O\nmet O\n")
    message = refused(read_folder, tmp_path)
    assert "expected entities" in message
    assert "dev.txt, got the tag O in every line" in message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("teddy 1 2\nbear 1\n", "expected 2 numbers, as in the first line, after the word, got 1"),
        ("teddy 1 2\nbear 1 2 3\n", "got 3, in line 2"),
        (
            "2 3\nteddy 1 2\nbear 1 2\n",
            "3 numbers, as in the first line, after the word, got 2, in line 2",
        ),
        ("teddy 1 2\nbear one two\n", "got 'one two', in line 2"),
        ("teddy 1 2\nbear 1 nan\n", "got '1 nan', in line 2"),
        ("teddy 1 2\nbear 1 \x1b[2J\n", r"got '1 \x1b[2J', in line 2"),
        ("teddy,1,2\n", "expected numbers, separated by spaces, after the word, got ''"),
        ("moose 1 2\n", "found none of them"),
        ("2 300\n", "found none of them"),
        ("", "found none of them"),
        ("teddy 1 2\nbär 1 2\n".encode("latin-1"), "got other bytes in line 2"),
        (b"2 3\nteddy \x00\x00\x80\x3f\xcd\xcc\x8c\x3f", "text format of word2vec or fastText"),
        (zipped("teddy 1 2"), "got a zip archive"),
        ("teddy 1 2\n".encode("utf-16"), "got UTF-16"),
    ],
)
def test_vectors(tmp_path, content, told):
    path = written(tmp_path / "vectors.txt", content)
    message = refused(read_vectors, path, {"teddy", "bear"})
    assert told in message
    assert "vectors.txt" in message


@pytest.mark.parametrize("program", [score, tag])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "file: expected text, got the empty file"),
        (LETTERS.encode("utf-16"), "file: expected UTF-8 text, got UTF-16"),
        (b"one\0two\n", "file: expected UTF-8 text, got a NUL character"),
        (None, "file: expected a readable text file"),
    ],
)
def test_texts_to_ask_of(tmp_path, program, content, told):
    path = tmp_path if content is None else written(tmp_path / "a.txt", content)
    with pytest.raises(RefusedError) as caught:
        program.main([f"file={path}"])
    assert told in checked(str(caught.value))


TOKENIZER = CharacterTokenizer.of("abc\n")
ENCODER = WordEncoder.of([["Ada", "met"]], longest_word=5)


def language_model(tokenizer=TOKENIZER):
    size = len(tokenizer.vocabulary)
    model = build_language_model(layers.GRU, vocabulary_size=size, units=2, embedding=2)
    model(np.ones((1, 2), np.int32))
    return model


def tagger(tags=3):
    return build_tagger(
        layers.GRU,
        vocabulary_size=len(ENCODER.vocabulary),
        characters=ENCODER.character_count,
        longest_word=ENCODER.longest_word,
        shapes=len(SHAPES),
        tags=tags,
        units=2,
        head="softmax",
    )


@pytest.fixture(scope="module")
def models_on_disk(tmp_path_factory):
    """The contents of the files of both kinds of model, and of a model of another kind, by name."""
    folder = tmp_path_factory.mktemp("models")
    other = build_model(
        layers.GRU, vocabulary_size=5, units=2, embedding=2, classes=2, per_step=False
    )
    models = {"language": language_model(), "tagger": tagger(), "five": tagger(5), "other": other}
    found = {}
    for name, model in models.items():
        model.save(folder / "model.keras")
        found[name] = (folder / "model.keras").read_bytes()
    return found


KINDS = {
    "language": (generation.KIND, TOKENIZER.to_json()),
    "tagger": (tag.KIND, {**ENCODER.to_json(), "types": ["PER"]}),
}


@pytest.fixture
def load(models_on_disk, tmp_path, monkeypatch):
    """Loads the model of a run of that kind, whose files were exchanged after it saved them."""

    def load(name, exchanged, with_digests=True):
        kind, kept = KINDS[name]
        files = {"model.keras": models_on_disk[name], kind.file: json.dumps(kept).encode()}
        tags = {"task": "t", "git_commit": "abc", **loading.digests_of(files)}
        if not with_digests:
            del tags[loading.DIGESTS]
        for file, content in {**files, **exchanged}.items():
            if content is not None:
                written(tmp_path / file, content)
        run = SimpleNamespace(run_id="1", name="gru seed=1", tags=tags, params={})
        monkeypatch.setattr(loading, "_run", lambda *_: run)
        monkeypatch.setattr(tracking, "connect", lambda: None)
        monkeypatch.setattr(tracking, "files_of", lambda *_: str(tmp_path))
        return loading.load_trained("latest", kind)

    return load


@pytest.mark.parametrize("name", KINDS)
def test_models_that_nobody_touched_load(load, name):
    assert load(name, {}).name == "gru seed=1 (t, run 1)"
    assert load(name, {}, with_digests=False).preprocessing


def cut(content):
    return content[: len(content) // 2]


def swapped(kept):
    return {**kept, "vocabulary": [*kept["vocabulary"][:-2], *reversed(kept["vocabulary"][-2:])]}


@pytest.mark.parametrize("with_digests", [True, False])
@pytest.mark.parametrize(
    ("name", "file", "damaged"),
    [
        ("language", "model.keras", lambda models: cut(models["language"])),
        ("language", "model.keras", lambda _: b""),
        ("language", "model.keras", lambda _: binary()),
        ("language", "model.keras", lambda _: zipped("no model")),
        ("language", "model.keras", lambda _: None),
        ("language", "model.keras", lambda models: models["other"]),
        ("language", "model.keras", lambda models: models["tagger"]),
        ("language", "tokenizer.json", lambda _: json.dumps(KINDS["tagger"][1])),
        ("language", "tokenizer.json", lambda _: json.dumps(KINDS["language"][1])[:-9]),
        ("language", "tokenizer.json", lambda _: "[]"),
        ("language", "tokenizer.json", lambda _: '{"kind": "bytes", "vocabulary": []}'),
        ("language", "tokenizer.json", lambda _: json.dumps(CharacterTokenizer.of("a").to_json())),
        ("tagger", "model.keras", lambda models: models["five"]),
        ("tagger", "model.keras", lambda models: models["language"]),
        ("tagger", "speller.json", lambda _: json.dumps({**KINDS["tagger"][1], "types": []})),
        ("tagger", "speller.json", lambda _: json.dumps(ENCODER.to_json())),
        ("tagger", "speller.json", lambda _: json.dumps({**KINDS["tagger"][1], "longest_word": 6})),
        ("tagger", "speller.json", lambda _: json.dumps({**KINDS["tagger"][1], "words": "ab"})),
        ("tagger", "speller.json", lambda _: binary()),
    ],
)
def test_damaged_and_foreign_models(load, models_on_disk, name, file, damaged, with_digests):
    with pytest.raises(RefusedError) as caught:
        load(name, {file: damaged(models_on_disk)}, with_digests)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    assert message.startswith("run=latest: the model of gru seed=1 cannot be read (")
    assert "it was saved at commit abc. Train it again, or use another run." in message
    if with_digests and damaged(models_on_disk) is not None:
        assert f"{file} is not the file that the run saved" in message


def test_a_foreign_file_of_the_same_size(load):
    kept = KINDS["language"][1]
    with pytest.raises(RefusedError, match=r"tokenizer.json is not the file that"):
        load("language", {"tokenizer.json": json.dumps(swapped(kept))})


@pytest.mark.parametrize("report", [None, {}, {"metric": {"name": "F1", "more": 1}}])
def test_a_report_of_another_version(monkeypatch, report):
    tags = {"model": "tagger"}
    run = SimpleNamespace(status="FINISHED", name="gru", tags=tags, report=report, series={})
    parent = SimpleNamespace(tags={"role": "sweep"})
    sweep = SimpleNamespace(name="ner", runs=[run])
    monkeypatch.setattr(tracking, "connect", lambda: None)
    monkeypatch.setattr(tracking, "read_run", lambda _: parent)
    monkeypatch.setattr(tracking, "read_sweep", lambda _: sweep)
    with pytest.raises(RefusedError, match=r"but gru has no readable one") as caught:
        loading.load_trained("1", tag.KIND)
    checked(str(caught.value))


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["task=text_char", "task.path=wide.txt"], "got UTF-16 in wide.txt"),
        (["task=conll", "task.path=numbered"], "'task.columns=[id,word,tag,_]'"),
        (["task=conll", "task.path=numbered", "task.columns=[id,wrd,tag,_]"], "including one word"),
        (["task=conll", "task.path=/nowhere"], "expected a folder with a training"),
        (["task=names", "model.vectors=/nowhere.txt"], "expected a text file of word vectors"),
        (["task=names", "model.vectors=three.txt"], "`embedding`: expected 3"),
    ],
)
def test_what_a_whole_command_says(main, tmp_path, capsys, overrides, told):
    written(tmp_path / "wide.txt", LETTERS.encode("utf-16"))
    written(tmp_path / "three.txt", "wept 1 2 3\n")
    os.mkdir(tmp_path / "numbered")
    for name in ("train", "dev", "test"):
        written(tmp_path / "numbered" / f"{name}.tsv", GERMEVAL)
    sizes = ["budget.train_examples=1000", "budget.evaluation_examples=1000"]
    assert main("cell=gru", *overrides, *sizes) == 2
    out, err = capsys.readouterr()
    assert told in checked(err.removesuffix("\n"))
    assert "Traceback" not in out + err
    assert tracking.latest_sweep() is None
