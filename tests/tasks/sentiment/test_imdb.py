import doctest
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from unrolled.tasks.base.task import MissingDataError
from unrolled.tasks.data.vocabulary import UNKNOWN
from unrolled.tasks.sentiment import imdb
from unrolled.tasks.sentiment.imdb import (
    BY_LENGTH,
    Imdb,
    PreparedReviews,
    Reviews,
    stratified_order,
    words_only,
)

POSITIVE, NEGATIVE = 1, 0
CLOSED_PORT = "http://127.0.0.1:9"


class GivenReviews:
    """Synthetic reviews in place of `PreparedReviews`."""

    def __init__(self, train, test):
        self._splits = train, test
        self.reads = 0

    def prepare(self):
        pass

    def fingerprint(self):
        return repr(self._splits)

    def read(self):
        self.reads += 1
        return tuple(
            Reviews([text for text, _ in split], np.array([label for _, label in split]))
            for split in self._splits
        )


def made_up(count, prefix):
    """Reviews with a unique word each; the first third in alphabetical order is positive."""
    good = [(f"{prefix}{n:03} the film is good", POSITIVE) for n in range(count // 3)]
    return good + [(f"{prefix}{n:03} the film is bad", NEGATIVE) for n in range(count // 3, count)]


TRAIN, TEST = made_up(90, "train"), made_up(60, "test")


@pytest.fixture
def loaded(tmp_path):
    """Creates and loads the task with the given reviews."""

    def load(train=TRAIN, test=TEST, source=None, **options):
        source = source or GivenReviews(train, test)
        options = {"validation_examples": 30, "cache_dir": tmp_path / "cache", **options}
        task = Imdb(source=source, **options)
        task.load()
        return task

    return load


def texts(task, examples):
    """Returns the examples as words."""
    return [
        " ".join(task.vocabulary[number] for number in row[:length])
        for row, length in zip(examples.inputs, examples.lengths, strict=True)
    ]


def splits(task):
    return task.training, task.validation, task.test


def assert_same_data(task, other):
    assert task.vocabulary == other.vocabulary
    assert task.fingerprint == other.fingerprint
    for one, another in zip(splits(task), splits(other), strict=True):
        np.testing.assert_array_equal(one.inputs, another.inputs)
        np.testing.assert_array_equal(one.targets, another.targets)


class TestWords:
    def test_docstring_example_holds(self):
        assert doctest.testmod(imdb) == doctest.TestResults(failed=0, attempted=1)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("GREAT Film", "great film"),
            ("good.<br /><br />Bad", "good bad"),
            ("one<br />two", "one two"),
            ("don't 'quote' Jones' rock'n'roll", "don't quote jones rock'n'roll"),
            ("10/10, 3.5 stars", "10 10 3 5 stars"),
            ("naïve _emphasis_ --- dash-ed", "naïve emphasis dash ed"),
            ("?! ...", ""),
        ],
    )
    def test_words(self, text, words):
        assert words_only(text) == words


class TestSplits:
    def test_every_review_is_in_one_split(self, loaded):
        task = loaded(vocabulary_size=1000)
        assert [len(split) for split in splits(task)] == [60, 30, 60]
        assert task.dropped == 0

    def test_inputs_and_targets_belong_together(self, loaded):
        task = loaded()
        for split in splits(task):
            assert split.inputs.dtype == split.targets.dtype == np.int32
            assert split.target_mask is None
            for text, target in zip(texts(task, split), split.targets, strict=True):
                assert text.endswith("good" if target == POSITIVE else "bad")

    def test_labels_have_the_same_frequencies_in_every_split(self, loaded):
        for split in splits(loaded()):
            assert split.targets.mean() == pytest.approx(1 / 3)

    @pytest.mark.parametrize("count", [1, 3, 9, 31])
    def test_limited_splits_are_stratified_samples(self, loaded, count):
        whole = loaded()
        task = loaded(train_examples=count, test_examples=count)
        for part, split in ((task.training, whole.training), (task.test, whole.test)):
            assert len(part) == count
            assert abs(part.targets.sum() - count / 3) < 1
            np.testing.assert_array_equal(part.targets, split.first(count).targets)
        np.testing.assert_array_equal(task.validation.targets, whole.validation.targets)

    def test_limits_larger_than_a_split_have_no_effect(self, loaded):
        task = loaded(train_examples=1000, test_examples=1000)
        assert [len(split) for split in splits(task)] == [60, 30, 60]

    def test_seed_chooses_the_reviews(self, loaded, tmp_path):
        assert_same_data(loaded(data_seed=1), loaded(data_seed=1, cache_dir=tmp_path / "other"))
        assert loaded(data_seed=1).fingerprint != loaded(data_seed=2).fingerprint
        first, second = (loaded(data_seed=seed, test_examples=10) for seed in (1, 2))
        assert first.fingerprint != second.fingerprint

    def test_order_of_storage_does_not_matter(self, loaded):
        assert_same_data(loaded(), loaded(TRAIN[::-1], TEST[::-1]))

    def test_training_reviews_that_are_in_test_are_dropped(self, loaded):
        shared = [("Loved it!", POSITIVE), ("HATED it.", NEGATIVE)]
        train = [*TRAIN, *shared, ("loved <br /> it", POSITIVE)]
        task = loaded(train, [*TEST, *shared], vocabulary_size=1000)
        assert task.dropped == 3
        assert len(task.test) == len(TEST) + 2
        assert len(task.training) + len(task.validation) == len(TRAIN)
        assert not {"loved", "hated"} & set(task.vocabulary)

    def test_repeated_reviews_stay_out_of_validation(self, loaded):
        train = [("again and again", POSITIVE), ("Again, and again.", POSITIVE), *TRAIN[:30]]
        for seed in range(20):
            task = loaded(train, validation_examples=29, data_seed=seed)
            assert texts(task, task.training).count("again and again") == 2

    def test_repeated_reviews_stay_in_test(self, loaded):
        assert len(loaded(test=TEST * 2).test) == 2 * len(TEST)

    def test_holding_out_everything_raises(self, loaded):
        with pytest.raises(ValueError, match="`validation_examples`: expected at most 89, got 90"):
            loaded(validation_examples=90)


class TestVocabulary:
    def test_is_built_from_training_only(self, loaded):
        task = loaded(vocabulary_size=1000)
        words = {word for text in texts(task, task.training) for word in text.split()}
        assert set(task.vocabulary[2:]) == words
        assert len([word for word in task.vocabulary if word.startswith("train")]) == 60
        assert not [word for word in task.vocabulary if word.startswith("test")]

    def test_is_built_from_the_limited_training_examples(self, loaded):
        task = loaded(vocabulary_size=1000, train_examples=6)
        assert len([word for word in task.vocabulary if word.startswith("train")]) == 6

    def test_words_that_are_not_in_it_become_unk(self, loaded):
        task = loaded()
        assert texts(task, task.validation)[0].startswith("<UNK> the film is")
        assert (task.test.inputs[:, 0] == UNKNOWN).all()

    def test_has_the_requested_size(self, loaded):
        task = loaded(vocabulary_size=5)
        assert task.vocabulary == ["<PAD>", "<UNK>", "film", "is", "the"]

    def test_a_review_without_words_is_one_unknown_word(self, loaded):
        task = loaded(test=[("...", NEGATIVE), ("good", POSITIVE)])
        assert sorted(texts(task, task.test)) == ["<UNK>", "good"]


class TestLength:
    @pytest.mark.parametrize(
        ("keep", "cut"), [("first", "<UNK> the film"), ("last", "film is good")]
    )
    def test_keep_selects_the_remaining_words(self, loaded, keep, cut):
        task = loaded(max_words=3, keep=keep)
        assert task.test.inputs.shape == (60, 3)
        assert cut in texts(task, task.test)

    @pytest.mark.parametrize("keep", ["first", "last"])
    def test_shorter_reviews_are_not_truncated(self, loaded, keep):
        task = loaded(max_words=5, keep=keep)
        assert "<UNK> the film is good" in texts(task, task.test)


class TestOptions:
    @pytest.mark.parametrize(
        "name", ["max_words", "validation_examples", "train_examples", "test_examples"]
    )
    @pytest.mark.parametrize("value", [0, -1, 2.5, "many"])
    def test_invalid_numbers_raise(self, name, value):
        with pytest.raises(ValueError, match=f"`{name}`: .* integer of at least 1, got {value!r}"):
            Imdb(**{name: value})

    @pytest.mark.parametrize("name", ["max_words", "vocabulary_size"])
    def test_none_raises_if_it_has_no_meaning(self, name):
        with pytest.raises(ValueError, match=f"`{name}`: .* of at least 1, got None"):
            Imdb(**{name: None})

    def test_holds_out_5000_for_none(self):
        assert Imdb(validation_examples=None).validation_examples == 5_000

    def test_an_unknown_value_of_keep_raises(self):
        with pytest.raises(ValueError, match='"first" or "last", got \'middle\''):
            Imdb(keep="middle")

    def test_touches_no_data_before_load(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nowhere"))
        Imdb(cache_dir=tmp_path / "cache")
        assert list(tmp_path.iterdir()) == []


class TestCache:
    def test_second_load_does_not_read(self, loaded):
        source = GivenReviews(TRAIN, TEST)
        first, second = loaded(source=source), loaded(source=source)
        assert source.reads == 1
        assert_same_data(first, second)
        assert first.dropped == second.dropped

    @pytest.mark.parametrize(
        "option",
        [
            {"vocabulary_size": 50},
            {"max_words": 2},
            {"keep": "first"},
            {"validation_examples": 29},
            {"train_examples": 10},
            {"test_examples": 10},
            {"data_seed": 1},
        ],
    )
    def test_another_option_reads_again(self, loaded, option):
        source = GivenReviews(TRAIN, TEST)
        loaded(source=source)
        loaded(source=source, **option)
        assert source.reads == 2

    def test_changed_code_invalidates_the_cache(self, loaded, monkeypatch):
        source = GivenReviews(TRAIN, TEST)
        loaded(source=source)
        monkeypatch.setattr("unrolled.tasks.sentiment.imdb.code_of", lambda *_: "another")
        loaded(source=source)
        assert source.reads == 2

    def test_other_reviews_are_read(self, loaded):
        loaded()
        assert len(loaded(test=TEST[:9]).test) == 9

    def test_a_damaged_file_is_recreated(self, loaded, tmp_path, caplog):
        source = GivenReviews(TRAIN, TEST)
        first = loaded(source=source)
        (path,) = (tmp_path / "cache").iterdir()
        os.truncate(path, 1000)
        assert_same_data(loaded(source=source), first)
        assert "damaged" in caplog.text
        assert source.reads == 2


class AlwaysPositive:
    """A model that predicts that every review is positive."""

    def predict_on_batch(self, inputs):
        return np.tile([0.0, 1.0], (len(inputs), 1))


class TestReport:
    def test_accuracy(self, loaded):
        assert loaded().evaluate(AlwaysPositive()).metrics == {"accuracy": pytest.approx(1 / 3)}

    def test_accuracy_by_length(self, loaded):
        test = [
            *[(f"a{number} " + "word " * 49, POSITIVE) for number in range(3)],
            *[("word " * words, NEGATIVE) for words in (51, 99, 100)],
            ("word " * 77, POSITIVE),
            *[("word " * words, words == 900) for words in (301, 302, 900)],
        ]
        report = loaded(test=test).evaluate(AlwaysPositive())
        points = report.breakdowns[BY_LENGTH]
        assert [(point.at, point.value, point.count) for point in points] == [
            (50, 1.0, 3),
            (100, 0.25, 4),
            (400, pytest.approx(1 / 3), 3),
        ]

    @pytest.mark.parametrize(("max_words", "ends"), [(60, [50, 60]), (1000, [50, 100, 1000])])
    def test_last_bin_ends_at_max_words(self, loaded, max_words, ends):
        test = [(f"x{words} " * words, POSITIVE) for words in (50, 60, 1000)]
        report = loaded(test=test, max_words=max_words).evaluate(AlwaysPositive())
        assert [point.at for point in report.breakdowns[BY_LENGTH]] == ends


@pytest.mark.parametrize("positive", [1, 7, 50, 93])
def test_every_prefix_of_a_stratified_order_has_the_overall_frequencies(positive):
    labels = np.arange(100) < positive
    order = stratified_order(labels, seed=3)
    assert sorted(order) == list(range(100))
    counts = np.cumsum(labels[order])
    assert np.abs(counts - np.arange(1, 101) * positive / 100).max() < 1


def prepare(root, train, test):
    """Writes reviews in the format of tensorflow-datasets."""
    import tensorflow as tf

    folder = root / "imdb_reviews" / "plain_text" / "1.0.0"
    folder.mkdir(parents=True)
    about = {"name": "imdb_reviews", "version": "1.0.0", "fileFormat": "tfrecord", "splits": []}
    for name, reviews in (("train", train), ("test", test)):
        path = folder / f"imdb_reviews-{name}.tfrecord-00000-of-00001"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for text, label in reviews:
                features = {
                    "text": tf.train.Feature(bytes_list={"value": [text.encode()]}),
                    "label": tf.train.Feature(int64_list={"value": [label]}),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
        shards = {"shardLengths": [str(len(reviews))], "numBytes": "1"}
        pattern = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        about["splits"].append({"name": name, "filepathTemplate": pattern, **shards})
    about["supervisedKeys"] = {
        "tuple": {"items": [{"featureKey": "text"}, {"featureKey": "label"}]}
    }
    (folder / "dataset_info.json").write_text(json.dumps(about))
    (folder / "features.json").write_text(json.dumps(FEATURES))
    return folder


FEATURES = {
    "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
    "featuresDict": {
        "features": {
            "text": {
                "pythonClassName": "tensorflow_datasets.core.features.text_feature.Text",
                "text": {},
            },
            "label": {
                "pythonClassName": (
                    "tensorflow_datasets.core.features.class_label_feature.ClassLabel"
                ),
                "classLabel": {"numClasses": "2"},
            },
        }
    },
}


@pytest.fixture
def data_dir(monkeypatch, tmp_path):
    """An empty `TFDS_DATA_DIR`; nothing can be downloaded into it."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    monkeypatch.setenv("http_proxy", CLOSED_PORT)
    monkeypatch.setenv("https_proxy", CLOSED_PORT)
    monkeypatch.setenv("no_proxy", "")
    # urllib caches the proxies of its first call, so reset them before and after.
    monkeypatch.setattr(urllib.request, "_opener", None)
    return folder


class TestPreparedReviews:
    def test_reads_what_tensorflow_datasets_prepared(self, data_dir, loaded):
        prepare(data_dir, TRAIN, [("Très <br />bon", POSITIVE)])
        task = loaded(source=PreparedReviews())
        assert [len(split) for split in splits(task)] == [60, 30, 1]
        assert texts(task, task.test) == ["<UNK> <UNK>"]
        assert task.training.targets.mean() == pytest.approx(1 / 3)
        _, test = PreparedReviews().read()
        assert test.texts == ["Très <br />bon"]

    def test_default_folder(self, monkeypatch, tmp_path):
        monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert PreparedReviews().root == tmp_path / "tensorflow_datasets"

    def test_fingerprint_follows_the_files(self, data_dir):
        folder = prepare(data_dir, TRAIN, TEST)
        before = PreparedReviews().fingerprint()
        assert PreparedReviews().fingerprint() == before
        with (folder / "imdb_reviews-test.tfrecord-00000-of-00001").open("r+b") as file:
            file.write(b"x")
        assert PreparedReviews().fingerprint() != before

    def test_missing_data_are_reported_with_the_folder_and_alternatives(self, data_dir, tmp_path):
        start = time.monotonic()
        with pytest.raises(MissingDataError) as caught:
            Imdb(cache_dir=tmp_path / "cache").load()
        assert time.monotonic() - start < 15
        message = str(caught.value)
        for part in (
            f"no prepared data in {data_dir}/imdb_reviews/plain_text/1.0.0,",
            "downloading them failed (URLError: ",
            "set TFDS_DATA_DIR to a folder",
            "The task agreement needs no download.",
        ):
            assert part in message
        assert list(data_dir.iterdir()) == []
        assert not (tmp_path / "cache").exists()

    def test_relative_folder_is_reported_in_full(self, data_dir, monkeypatch):
        monkeypatch.chdir(data_dir)
        monkeypatch.setenv("TFDS_DATA_DIR", "here")
        with pytest.raises(MissingDataError, match=f" {data_dir}/here/imdb_reviews"):
            PreparedReviews().prepare()

    @pytest.mark.parametrize("damage", [lambda path: os.truncate(path, 50), Path.unlink])
    def test_damaged_data_are_reported(self, data_dir, damage):
        folder = prepare(data_dir, TRAIN, TEST)
        damage(folder / "imdb_reviews-train.tfrecord-00000-of-00001")
        message = f"cannot read the data in {folder}: a file is damaged or missing.*Delete"
        with pytest.raises(MissingDataError, match=message):
            PreparedReviews().read()

    def test_incomplete_data_and_other_data_are_reported(self, data_dir):
        folder = prepare(data_dir, TRAIN, TEST)
        message = f"cannot read the data in {folder}: a file is damaged or missing"
        (folder / "imdb_reviews-test.tfrecord-00000-of-00001").write_bytes(b"")
        with pytest.raises(MissingDataError, match=message):
            PreparedReviews().read()
        for name, text in (("features.json", json.dumps(FEATURES)[:40]), ("dataset_info.json", "")):
            (folder / name).write_text(text)
            with pytest.raises(MissingDataError, match=message):
                PreparedReviews().read()
            with pytest.raises(MissingDataError, match=message):
                PreparedReviews().class_names("label")

    def test_a_folder_of_an_unfinished_preparation_is_not_used(self, data_dir):
        (data_dir / "imdb_reviews" / "plain_text" / "1.0.0").mkdir(parents=True)
        with pytest.raises(MissingDataError, match="no prepared data"):
            PreparedReviews().prepare()

    def test_cached_start_does_not_import_tensorflow_datasets(self, data_dir, tmp_path):
        prepare(data_dir, TRAIN, TEST)
        Imdb(validation_examples=30, cache_dir=tmp_path / "cache").load()
        load = (
            "import sys; from unrolled.tasks.sentiment.imdb import Imdb\n"
            f"Imdb(validation_examples=30, cache_dir={str(tmp_path / 'cache')!r}).load()\n"
            "cached = 'tensorflow_datasets' in sys.modules\n"
            f"Imdb(validation_examples=30, cache_dir={str(tmp_path / 'new')!r}).load()\n"
            "print(cached, 'tensorflow_datasets' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", load], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["False", "True"]


needs_the_reviews = pytest.mark.skipif(
    not (PreparedReviews().folder / "dataset_info.json").is_file(),
    reason=f"no reviews in {PreparedReviews().folder}; TFDS_DATA_DIR can name another folder",
)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The task with the real data set, loaded without a cache."""
    task = Imdb(cache_dir=tmp_path_factory.mktemp("cache"))
    task.load()
    return task


@needs_the_reviews
class TestRealReviews:
    def test_counts(self, full):
        assert full.dropped == 123
        assert [len(split) for split in splits(full)] == [25_000 - 123 - 5_000, 5_000, 25_000]
        assert len(full.vocabulary) == 10_000
        assert full.test.targets.mean() == 0.5
        for split in splits(full):
            assert split.targets.mean() == pytest.approx(0.5, abs=0.003)
            assert 1 <= split.lengths.min() < split.lengths.max() == 400

    def test_few_words_are_unknown(self, full, record_property):
        for name in ("training", "validation", "test"):
            split = getattr(full, name)
            share = (split.inputs == UNKNOWN).sum() / split.lengths.sum()
            record_property(f"unknown words in {name}", f"{share:.4f}")
            assert 0.05 < share < 0.065

    def test_no_review_is_in_two_splits(self, full):
        training, validation, test = (set(map(bytes, split.inputs)) for split in splits(full))
        widths = {split.inputs.shape[1] for split in splits(full)}
        assert len(widths) == 1
        assert not training & validation
        assert not training & test
        assert not validation & test

    def test_second_load_reads_nothing(self, full, monkeypatch):
        monkeypatch.setattr(PreparedReviews, "read", None)
        again = Imdb(cache_dir=full.cache_dir)
        again.load()
        assert_same_data(again, full)
