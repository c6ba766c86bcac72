"""Tables on terminals of different widths."""

import io

from rich.console import Console

from unrolled.console.tables import as_markdown, as_rich, split_columns

COLUMNS = {
    "variant": ["lstm forget_bias=0.0 match=parameters", "lstm forget_bias=3.0 match=parameters"],
    "parameters": ["26,850", "1,026,850"],
    "test accuracy": ["0.823 ± 0.024", "0.954 ± 0.011"],
    "worst run": ["0.796 of 3", "0.944 of 3"],
    "to 90%": ["never", "53.3 ± 5.8 k"],
}


def test_figures_are_never_truncated():
    for width in (60, 80, 140):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(as_rich(COLUMNS, "a title"))
        shown = console.export_text()
        for name, cells in COLUMNS.items():
            if name != "variant":
                assert all(cell in shown for cell in cells)
        assert "…" not in shown


def test_a_two_line_heading_is_one_line_in_markdown():
    text = as_markdown({"unit": ["gru"], "training\nratio": ["1.50"]})
    assert text == "| unit | training ratio |\n|---|---|\n| gru | 1.50 |"


def test_a_wide_table_is_split():
    for width in (60, 80, 140):
        parts = split_columns(COLUMNS, 1, width)
        assert len(parts) == {60: 4, 80: 2, 140: 1}[width]
        assert all(next(iter(part)) == "variant" for part in parts)
        assert [name for part in parts for name in list(part)[1:]] == list(COLUMNS)[1:]
        for part in parts:
            console = Console(width=width, record=True, file=io.StringIO())
            console.print(as_rich(part, "a title"))
            assert "lstm forget_bias=3.0 match=parameters" in console.export_text()


def test_a_table_of_names_is_not_split():
    names = {"variant": COLUMNS["variant"]}
    assert split_columns(names, 1, 10) == [names]
