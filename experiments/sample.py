"""What would come next? New text from a trained language model.

python -m experiments.sample prompt="ROMEO:" temperature=0.8 length=500 [run=<id>]
"""

import sys
import time

import numpy as np
from rich.text import Text

from unrolled.console.printable import printable
from unrolled.console.program import run
from unrolled.console.terminal import say
from unrolled.inference.generation import generate_text, load_language_model
from unrolled.inference.loading import LATEST
from unrolled.inference.options import (
    any_text,
    integer,
    integer_within,
    number_within,
    options_of,
)
from unrolled.settings.sampling import LIMITS

_OPTIONS = {
    "run": any_text(LATEST),
    "prompt": any_text(""),
    "temperature": number_within(LIMITS["temperature"], 1.0),
    "top_k": integer_within(LIMITS["top_k"]),
    "top_p": number_within(LIMITS["top_p"], 1.0),
    "length": integer(1, 500),
    "n": integer(1, 1),
    "seed": integer(0, 0),
}


def main(arguments: list[str]) -> int:
    """Write `n` texts of at most `length` tokens as they are drawn."""
    options = options_of(arguments, _OPTIONS)
    loaded = load_language_model(options["run"])
    from unrolled.tasks.data.vocabulary import UNKNOWN

    tokenizer = loaded.tokenizer
    prompt = tokenizer.encode_prompt(options["prompt"])
    say.print(Text(loaded.name), style="dim", soft_wrap=True)
    strange = int((prompt == UNKNOWN).sum())
    if strange:
        say.print(f"{strange} of the prompt's {len(prompt)} tokens are read as <UNK>.", style="dim")
    drawn, seconds = 0, 0.0
    for number in range(options["n"]):
        if options["n"] > 1:
            say.print(f"--- {number + 1} ---", style="dim")
        tokens, took = _write(loaded, prompt, options, number)
        drawn, seconds = drawn + tokens, seconds + took
    rate = f", {(drawn - options['n']) / seconds:.0f} per second" if drawn > options["n"] else ""
    say.print(f"{drawn} tokens{rate}", style="dim")
    return 0


def _write(loaded, prompt: np.ndarray, options: dict, number: int) -> tuple[int, float]:
    """One text to the terminal as it comes.

    Returns:
        The number of tokens drawn, and the seconds from the first to the last: before the first
        the prompt is read.
    """
    settings = {name: options[name] for name in ("temperature", "top_k", "top_p")}
    pieces = generate_text(
        loaded.model,
        loaded.tokenizer,
        prompt,
        length=options["length"],
        seed=options["seed"],
        number=number,
        **settings,
    )
    drawn, first = 0, time.perf_counter()
    sys.stdout.write(printable(loaded.tokenizer.decode(prompt)))
    for piece in pieces:
        sys.stdout.write(printable(piece))
        sys.stdout.flush()
        drawn += 1
        if drawn == 1:
            first = time.perf_counter()
    seconds = time.perf_counter() - first
    sys.stdout.write("\n")
    sys.stdout.flush()
    return drawn, seconds


if __name__ == "__main__":
    run(main)
