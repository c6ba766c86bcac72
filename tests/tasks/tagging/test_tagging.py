"""The tagging tasks: their encoded sentences, and their report of a model's tags."""

import numpy as np
import pytest

from unrolled.tasks.base.examples import PADDING
from unrolled.tasks.data.vocabulary import UNKNOWN
from unrolled.tasks.tagging.columns import Sentence
from unrolled.tasks.tagging.conll import Splits
from unrolled.tasks.tagging.entities import Tags
from unrolled.tasks.tagging.names import BY_DISTANCE, BY_DISTANCE_UNSEEN, Names
from unrolled.tasks.tagging.task import LOSS_BY_STEP, ConllFiles, Tagging, bracketed

FILES = {
    "train.txt": "Ada B-PER\nmet O\nBob B-PER\n\nin O\nNew B-LOC\nYork I-LOC\n\nIBM B-ORG\n",
    "dev.txt": "Ada B-PER\nsaw O\n",
    "test.txt": "Zoë B-PER\nmet O\nIBM B-ORG\n\nthe O\nFinn B-MISC\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def files(folder):
    task = ConllFiles(path=str(folder))
    task.load()
    return task


class Answers:
    """Replaces a `models.Tagger`: returns given tags and losses, batch by batch."""

    def __init__(self, task, tags, loss=0.5):
        self._inputs, self._tags, self._loss = task.test.inputs, tags, loss

    def tag_with_losses(self, inputs, tags):
        steps = inputs["words"].shape[1]
        rows = [
            next(
                row
                for row, known in enumerate(self._inputs[:, :steps])
                if np.array_equal(known, words) and not self._inputs[row, steps:].any()
            )
            for words in inputs["words"]
        ]
        losses = np.where(inputs["words"] == PADDING, 0, self._loss)
        assert np.array_equal(tags.shape, losses.shape)
        return self._tags[rows, :steps], losses


def test_words_capitals_and_characters_of_each_split(files):
    assert files.tags.names == Tags(["LOC", "MISC", "ORG", "PER"]).names
    assert [len(files.training), len(files.validation), len(files.test)] == [3, 1, 2]
    words = files.vocabulary
    assert [words[number] for number in files.training.inputs[0]] == ["ada", "met", "bob"]
    assert files.test.inputs[0].tolist() == [UNKNOWN, words.index("met"), words.index("ibm")]
    assert files.tags.decode(files.test.targets[1, :2]) == ["O", "B-MISC"]
    assert files.unknown_fraction == {"training": 0.0, "validation": 0.5, "test": 3 / 5}
    inputs, tags = files.training.batch(np.array([1, 2]))
    assert {name: part.shape for name, part in inputs.items()} == {
        "words": (2, 3),
        "capitals": (2, 3),
        "characters": (2, 3, 15),
    }
    assert tags.shape == (2, 3)
    assert not inputs["characters"][1, 1:].any()


def test_only_the_first_sentences_are_used(folder):
    task = ConllFiles(path=folder, train_examples=1, evaluation_examples=1)
    task.load()
    assert [len(task.training), len(task.test)] == [1, 1]
    assert "york" not in task.vocabulary
    assert "LOC" in task.tags.types  # It counts as missed.


def test_the_fingerprint_depends_on_the_data(folder, files):
    again = ConllFiles(path=folder)
    again.load()
    assert again.fingerprint == files.fingerprint
    (folder / "test.txt").write_text(FILES["test.txt"].replace("B-MISC", "B-PER"))
    again.load()
    assert again.fingerprint != files.fingerprint


def test_pretrained_words_that_occur_in_a_split_are_known(folder):
    path = folder / "vectors.vec"
    path.write_text("finn 1 2\nzebra 3 4\nmet 5 6\n")
    task = ConllFiles(path=folder, vectors=path)
    task.load()
    assert "finn" in task.vocabulary
    assert "zebra" not in task.vocabulary
    numbers, vectors = task.model_arguments()["vectors"]
    found = {
        task.vocabulary[n]: vector.tolist() for n, vector in zip(numbers, vectors, strict=True)
    }
    assert found == {"finn": [1, 2], "met": [5, 6]}
    assert task.test.inputs[1, 1] == task.vocabulary.index("finn")
    before = task.fingerprint
    path.write_text("finn 1 2\nzebra 3 4\nmet 5 7\n")
    task.load()
    assert task.fingerprint != before


def test_the_report(files):
    tags = files.tags
    answered = np.zeros_like(files.test.targets)
    answered[0] = tags.encode(["B-PER", "O", "B-PER"])
    report = files.evaluate(Answers(files, answered))
    # Two of three entities are predicted, one of them correctly.
    assert report.metrics["precision"] == 1 / 2
    assert report.metrics["recall"] == 1 / 3
    assert report.metrics["f1"] == pytest.approx(2 / 5)
    assert report.metrics["f1_PER"] == pytest.approx(2 / 3)
    assert report.metrics["f1_MISC"] == 0
    assert report.metrics["token_accuracy"] == 3 / 5
    assert report.metrics["loss_a_sentence"] == pytest.approx((1.5 + 1) / 2)
    assert report.metrics["unknown_fraction"] == 3 / 5
    assert [(point.at, point.value, point.count) for point in report.breakdowns[LOSS_BY_STEP]] == [
        (1, 0.5, 2),
        (2, 0.5, 2),
        (3, 0.5, 1),
    ]
    table = report.tables["entities_by_type"]
    assert table["type"] == ["LOC", "MISC", "ORG", "PER", "all"]
    assert table["correct"] == [0, 0, 0, 1, 1]
    worst = report.tables["worst_sentences"]
    assert worst["entities wrong"] == [2, 1]
    assert worst["right"] == ["[PER Zoë] met [ORG IBM]", "the [MISC Finn]"]
    assert worst["found"] == ["[PER Zoë] met [PER IBM]", "the Finn"]
    confusion = report.confusions["types_of_words"]
    assert confusion.classes == ["O", "LOC", "MISC", "ORG", "PER"]
    expected = np.zeros((5, 5), int)
    for right, found in [(4, 4), (0, 0), (3, 4), (0, 0), (2, 0)]:
        expected[right, found] += 1
    np.testing.assert_array_equal(confusion.counts, expected)


def test_correct_sentences_are_not_listed_as_worst(files):
    report = files.evaluate(Answers(files, files.test.targets))
    assert report.metrics["f1"] == 1
    assert not report.tables["worst_sentences"]["right"]


def test_the_twenty_worst_sentences_are_listed_in_order():
    class Many(Tagging):
        name = "many"

        def read(self):
            sentences = [
                Sentence(tuple(f"W{n}x{m}" for m in range(n)), ("B-PER",) * n) for n in range(1, 31)
            ]
            return Splits(sentences, sentences, sentences)

    task = Many()
    task.load()
    report = task.evaluate(Answers(task, np.zeros_like(task.test.targets)))
    assert report.tables["worst_sentences"]["entities wrong"] == list(range(30, 10, -1))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"longest_word": 0}, "`longest_word`: expected an integer from 1 to 1000, got 0"),
        ({"train_examples": 0}, "`train_examples`"),
    ],
)
def test_options_out_of_range_raise(options, told):
    with pytest.raises(ValueError, match=told):
        ConllFiles(path=".", **options)


@pytest.fixture(scope="module")
def names():
    task = Names(train_examples=200, evaluation_examples=100, distance={"min": 1, "max": 6})
    task.load()
    return task


def test_names_reports_ambiguous_words_separately(names):
    best = np.zeros_like(names.test.targets)
    for row, sentence in enumerate(names.test_sentences):
        best[row, : len(sentence.words)] = names.tags.encode(sentence.forward_best())
    report = names.evaluate(Answers(names, best))
    assert report.metrics["accuracy_ambiguous"] == 0.5
    assert report.metrics["accuracy_ambiguous_unseen"] == 0.5
    assert report.metrics["baseline_forward_f1"] == pytest.approx(report.metrics["f1"])
    assert 0.5 < report.metrics["f1"] < 1
    for name in (BY_DISTANCE, BY_DISTANCE_UNSEEN):
        assert all(point.value == 0.5 for point in report.breakdowns[name])
        assert sum(point.count for point in report.breakdowns[name]) == 50
        assert report.judged[name].chance_level == 0.5
    right = names.evaluate(Answers(names, names.test.targets))
    assert right.metrics["accuracy_ambiguous"] == right.metrics["f1"] == 1


def test_names_without_held_out_words_has_none_unseen():
    task = Names(train_examples=200, evaluation_examples=20, held_out=0.0)
    task.load()
    report = task.evaluate(Answers(task, task.test.targets))
    assert set(report.judged) == {BY_DISTANCE}
    assert "accuracy_ambiguous_unseen" not in report.metrics


def test_names_validates_its_options():
    with pytest.raises(ValueError, match="`train_examples`: expected an even number"):
        Names(train_examples=201)


def test_sentences_are_bracketed_with_entities_next_to_each_other():
    from unrolled.tasks.tagging.entities import entities

    words = ["Ada", "Bob", "of", "New", "York"]
    found = entities(["B-PER", "B-PER", "O", "B-LOC", "I-LOC"])
    assert bracketed(words, found) == "[PER Ada] [PER Bob] of [LOC New York]"
    assert bracketed([], []) == ""
