"""Files in CoNLL columns, and CoNLL-2003 if it is available."""

import pytest

from unrolled.tasks.tagging.columns import read_columns
from unrolled.tasks.tagging.conll import PreparedConll, read_folder

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


def test_documents_empty_lines_and_iob1(tmp_path):
    first, second = read_columns(written(tmp_path, IOB1))
    assert first.words == ("Ada", "Lovelace", "met", "Grace", "Hopper")
    assert first.tags == ("B-PER", "I-PER", "O", "B-PER", "B-PER")
    assert (second.words, second.tags) == (("Paris",), ("B-LOC",))


def test_bio_is_unchanged_and_all_line_ends_are_read(tmp_path):
    text = "\ufeffAda B-PER\r\nmet O\r\n \t\r\n\u00a0 O\r\n\U0001f600 B-PER"
    first, second = read_columns(written(tmp_path, text))
    assert (first.words, first.tags) == (("Ada", "met"), ("B-PER", "O"))
    assert second.words == ("\u00a0", "\U0001f600")


def tags_of(sentences):
    return [list(zip(each.words, each.tags, strict=True)) for each in sentences]


EXPECTED = [[("Ada", "B-PER"), ("met", "O")], [("#", "O"), ("Bob", "B-PER")]]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (  # As GermEval: a source, a number, two tags.
            ["id", "word", "tag", "_"],
            "#\thttp://a.b [2009-10-17]\n1\tAda\tB-PER\tO\n2\tmet\tO\tB-LOC\n\n"
            "#\tn-tv.de vom 26.02.2005 [2005-02-26]\n1\t#\tO\tO\n2\tBob\tB-PER\tO\n",
        ),
        (  # As CoNLL-U: comments, a token of two words, an empty node.
            ["id", "word", "_", "tag"],
            "# newdoc\n# text = Ada met\n1-2\tAdamet\t_\t_\n1\tAda\tX\tB-PER\n2\tmet\tX\tO\n\n"
            "# text = O # O O\n1\t#\t_\tO\n2\tBob\tX\tB-PER\n2.1\twho\t_\t_\n",
        ),
        (["id", "word", "tag"], "0 Ada I-PER\n1 met O\n\n0 # O\n1 Bob I-PER\n"),
        (["_", "word", "tag"], "s1 Ada B-PER\ns1 met O\n\ns2 # O\ns2 Bob B-PER\n"),
        (["tag", "_", "word"], "B-PER X Ada\nO X met\n\nO X #\nB-PER X Bob\n"),
        (None, "# sent_id = 1\n# Ada met\nAda B-PER\nmet O\n\n# O\nBob B-PER\n"),
        (None, "Ada B-PER\r\nmet O\r\n\r\n# O\r\nBob B-PER\r\n"),
        (None, "Ada B-PER\rmet O\r\r# O\rBob B-PER\r"),
        (None, "\ufeffAda\t\tB-PER\n met \tO\t\n\n#\tO\nBob\tB-PER"),
    ],
)
def test_columns_and_comments_of_many_files(tmp_path, columns, text):
    assert tags_of(read_columns(written(tmp_path, text), columns)) == EXPECTED


def test_words_may_contain_spaces_if_tabs_separate(tmp_path):
    lines = ["1\tAda\tB-PER", "2\tearned\tO", "3\t100 000\tO", "4\tin\tO", "5\tNew York\tB-LOC"]
    (sentence,) = read_columns(written(tmp_path, "\n".join(lines)), ["id", "word", "tag"])
    assert sentence.words == ("Ada", "earned", "100 000", "in", "New York")


@pytest.mark.parametrize("text", ["1 O\n2 B-CARD\n", "1984 B-MISC\n", "no O\nno O\n"])
def test_a_short_file_may_consist_of_numbers_or_one_word(tmp_path, text):
    assert len(read_columns(written(tmp_path, text))) == 1


def test_a_folder_has_a_file_for_each_split(tmp_path):
    for name in ("eng.train", "eng.testa", "eng.testb"):
        written(tmp_path, f"{name} B-PER\n", name)
    written(tmp_path, "not read", "README.txt")
    splits = read_folder(tmp_path)
    assert splits.training[0].words == ("eng.train",)
    assert splits.validation[0].words == ("eng.testa",)
    assert splits.test[0].words == ("eng.testb",)


def test_a_folder_without_the_files_raises(tmp_path):
    written(tmp_path, "Ada O\n", "train.txt")
    with pytest.raises(ValueError, match=r"For validation found none among train.txt"):
        read_folder(tmp_path)
    written(tmp_path, "Ada O\n", "training.txt")
    with pytest.raises(ValueError, match=r"For training found \['train.txt', 'training.txt'\]"):
        read_folder(tmp_path)
    (tmp_path / "training.txt").rename(tmp_path / "dev_and_test.txt")
    with pytest.raises(ValueError, match=r"a separate file for test in .*, got dev_and_test.txt"):
        read_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"expected a folder with a training"):
        read_folder(tmp_path / "none")


def test_conll2003_has_the_official_counts():
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
