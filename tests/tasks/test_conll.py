"""Files in CoNLL columns, and the set of 2003 where it is."""

import pytest

from tasks.columns import read_columns
from tasks.conll import PreparedConll, read_folder

IOB1 = """-DOCSTART- -X- -X- O

Ada NNP I-NP I-PER
Lovelace NNP I-NP I-PER
met VBD I-VP O
Grace\tNNP\tI-NP\tI-PER
Hopper NNP I-NP B-PER

-DOCSTART- -X- -X- O

Paris NNP I-NP I-LOC
"""


def written(folder, text, name="train.txt"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_documents_blank_lines_and_iob1(tmp_path):
    first, second = read_columns(written(tmp_path, IOB1))
    assert first.words == ("Ada", "Lovelace", "met", "Grace", "Hopper")
    assert first.tags == ("B-PER", "I-PER", "O", "B-PER", "B-PER")
    assert (second.words, second.tags) == (("Paris",), ("B-LOC",))


def test_bio_stays_and_lines_may_end_in_any_way(tmp_path):
    text = "\ufeffAda B-PER\r\nmet O\r\n \t\r\n\u00a0 O\r\n\U0001f600 B-PER"
    first, second = read_columns(written(tmp_path, text))
    assert (first.words, first.tags) == (("Ada", "met"), ("B-PER", "O"))
    assert second.words == ("\u00a0", "\U0001f600")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Ada X B-PER\nmet O\n", r"expected 3 columns as in the first, got 2 in line 2 .*'met O'"),
        ("Ada O\n\nmet X O\n", r"expected 2 columns as in the first, got 3 in line 3"),
        ("Ada\n", r"expected a word and its tag, got 1 in line 1"),
        ("Ada O\nmet PER\n", r"a tag in BIO or IOB1.*got 'PER' in line 2"),
        ("Ada B-\n", r"got 'B-' in line 1"),
        (
            "Ada I-PER\nmet O\n\nthe O\nGrace B-PER\n",
            r"some of each: in line 1 of .* with an I, in line 5 one with a B",
        ),
        ("\n-DOCSTART- O\n", r"there is no sentence in"),
        (b"Ad\xe0 O\n", r"expected text in UTF-8"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(ValueError, match=f"task.path: .*{told}") as caught:
        read_columns(written(tmp_path, text))
    assert "train.txt" in str(caught.value)


def test_a_folder_has_a_file_for_each_split(tmp_path):
    for name in ("eng.train", "eng.testa", "eng.testb"):
        written(tmp_path, f"{name} B-PER\n", name)
    written(tmp_path, "not read", "README.txt")
    splits = read_folder(tmp_path)
    assert splits.training[0].words == ("eng.train",)
    assert splits.validation[0].words == ("eng.testa",)
    assert splits.test[0].words == ("eng.testb",)


def test_a_folder_without_is_told_with_what_is_there(tmp_path):
    written(tmp_path, "Ada O\n", "train.txt")
    with pytest.raises(ValueError, match=r"For validation there are none, of train.txt"):
        read_folder(tmp_path)
    written(tmp_path, "Ada O\n", "training.txt")
    with pytest.raises(ValueError, match=r"For training there are \['train.txt', 'training.txt'\]"):
        read_folder(tmp_path)
    (tmp_path / "training.txt").rename(tmp_path / "dev_and_test.txt")
    with pytest.raises(ValueError, match=r"a file of its own for test in .*, got dev_and_test.txt"):
        read_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"expected a folder with a training"):
        read_folder(tmp_path / "none")


def test_the_set_of_2003_has_the_official_counts():
    prepared = PreparedConll()
    if not (prepared.folder / "dataset_info.json").is_file():
        pytest.skip(f"CoNLL-2003 is not in {prepared.folder}")
    splits = prepared.read()
    counts = {
        name: (len(split), sum(len(each.words) for each in split))
        for name, split in vars(splits).items()
    }
    assert counts == {
        "training": (14041, 203621),
        "validation": (3250, 51362),
        "test": (3453, 46435),
    }
    # Tjong Kim Sang & De Meulder 2003, table 2.
    named = [tag[2:] for each in splits.training for tag in each.tags if tag.startswith("B-")]
    found = {one: named.count(one) for one in set(named)}
    assert found == {"LOC": 7140, "MISC": 3438, "ORG": 6321, "PER": 6600}
