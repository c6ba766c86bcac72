"""Text from users, files and models cannot control the terminal."""

import doctest

import pytest
from rich.text import Text

from unrolled.console import printable as module
from unrolled.console import terminal
from unrolled.console.printable import printable, reason_of
from unrolled.console.refusals import print_refusal
from unrolled.console.terminal import Terminal, show_table

STEERING = "a\x1b[2J\x00\x9b31m\rb\x08\u202ec\u2066d\u2028e\udcff"
SHOWN = r"a\x1b[2J\x00\x9b31m\rb\x08\u202ec\u2066d\u2028e\udcff"


def test_control_characters_are_escaped():
    assert printable(STEERING) == SHOWN
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    "text",
    ["a\n\tb", "می\u200cخواهم", "👩\u200d🚀", "漢字 \u00a0é e\u0301", "שלום\u200f!", "\\x1b"],
)
def test_formatting_characters_of_scripts_are_unchanged(text):
    assert printable(text) == text


@pytest.mark.parametrize("piped", [True, False])
def test_all_console_output_is_escaped(capsys, monkeypatch, piped):
    monkeypatch.setattr(terminal, "say", Terminal(force_terminal=not piped, width=200))
    terminal.say.print(STEERING)
    terminal.say.print(Text(STEERING), style="bold")
    show_table({"head\x1b[1m": [STEERING], "b": ["[/b] :cat:"]}, STEERING, STEERING)
    out = capsys.readouterr().out
    assert out.count(r"a\x1b[2J\x00\x9b31m") == 5
    assert out.count(r"\u202ec\u2066d\u2028e\udcff") == 5
    assert SHOWN in out  # From the table's cell.
    assert r"head\x1b[1m" in out
    assert "[/b] :cat:" in out
    for sign in set(STEERING) - set("\x1b"):
        assert sign not in out or sign.isprintable()
    assert "\x1b[2J" not in out


def test_markup_is_not_interpreted(capsys):
    Terminal(width=80).print("FAILED: expected [/b] of [bold], got :cat:", style="red")
    assert capsys.readouterr().out == "FAILED: expected [/b] of [bold], got :cat:\n"


def test_an_error_message_masks_passwords(capsys):
    print_refusal("got {uri: 'http://u:hunter/22@h'} of http://h:5000/a@b")
    assert capsys.readouterr().err == "got {uri: 'http://u:***@h'} of http://h:5000/a@b\n"


def test_error_messages_are_escaped(capsys):
    print_refusal(ValueError(f"file: {STEERING}"))
    assert capsys.readouterr().err == f"file: {SHOWN}\n"
    reason = reason_of(KeyError("\x1b\n" + "a lot " * 1000))
    assert reason.startswith(r"KeyError: '\x1b\na lot")
    assert len(reason) < 600
    assert reason_of(EOFError()) == "EOFError"
    assert reason_of(ValueError("one\n  two")) == "ValueError: one two"
