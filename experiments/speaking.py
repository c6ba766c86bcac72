"""Trained language models: found by the id of a run, and asked on a command line."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.catalogue import unknown
from experiments.checks import RefusedError
from experiments.plan import overrides_of_make
from experiments.terminal import quiet_start, say

FROM_MAKE = "--from-make"  # The arguments are in the variable MAKE_OVERRIDES, as make has them.
REFUSED = 2
LATEST = "latest"


@dataclass(frozen=True)
class Option:
    """What may be said of one name on a command line.

    Attributes:
        read: makes a value of the text that was typed; raises ValueError for one that is none.
        allowed: which values are.
        expected: says which, for people.
        default: taken where nothing is said.
    """

    read: Callable[[str], Any]
    allowed: Callable[[Any], bool]
    expected: str
    default: Any = None


def any_text(default: str | None = None) -> Option:
    return Option(str, lambda _: True, "a text", default)


def whole(least: int, default: int | None = None) -> Option:
    return Option(int, lambda value: value >= least, f"a whole number of at least {least}", default)


def options_of(arguments: list[str], known: Mapping[str, Option]) -> dict[str, Any]:
    """The value of every known option, from arguments such as `temperature=0.8`.

    Raises:
        RefusedError: for an unknown name, one that is there twice, or a value that is not allowed.
    """
    if arguments[:1] == [FROM_MAKE]:
        arguments = overrides_of_make(os.environ.get("MAKE_OVERRIDES", ""))
    found = {}
    for argument in arguments:
        name, equals, typed = argument.partition("=")
        if not equals or name not in known:
            raise RefusedError(unknown("option", name, list(known)))
        if name in found:
            raise RefusedError(f"{name}: is there twice; expected it once.")
        found[name] = _value(name, typed, known[name])
    return {name: found.get(name, option.default) for name, option in known.items()}


def _value(name, typed, option):
    try:
        value = option.read(typed)
    except ValueError:
        value = None
    if value is None or not option.allowed(value):
        raise RefusedError(f"{name}: expected {option.expected}, got {typed!r}.")
    return value


def refusing(program: Callable[[list[str]], int]) -> None:
    """Run a program on this process's arguments and exit; what it refuses is said in a line."""
    try:
        sys.exit(program(sys.argv[1:]))
    except RefusedError as refused:
        print(refused, file=sys.stderr)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        sys.exit(130)


@dataclass(frozen=True)
class Speaker:
    """A trained language model and its tokenizer.

    Attributes:
        name: what the run is called, and in which task.
        model: a `models.LanguageModel`.
        tokenizer: a `tasks.tokenizers.Tokenizer`.
    """

    name: str
    model: Any
    tokenizer: Any


def load_speaker(run_id: str) -> Speaker:
    """The language model of a run, or of the best run of a sweep by its validation loss.

    Args:
        run_id: of a run or of a sweep's parent; "latest" for the language model that ended last.

    Raises:
        RefusedError: if there is no such run, or it has left no language model.
    """
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        import keras

        import layers  # noqa: F401  (for Keras to know them)
        import models  # noqa: F401
        import tracking
        from tasks.tokenizers import tokenizer_from_json
    tracking.connect()
    run = _run(run_id, tracking)
    try:
        folder = Path(tracking.files_of(run.run_id, "model"))
        kept = json.loads((folder / "tokenizer.json").read_text())
        model = keras.saving.load_model(folder / "model.keras", compile=False)
    except (OSError, ValueError) as error:
        raise RefusedError(
            f"run={run_id}: the model of {run.name} cannot be read ({error}). Were its files in "
            "mlruns deleted? Train it again, or name another run."
        ) from error
    name = f"{run.name} ({run.tags['task']}, run {run.run_id})"
    return Speaker(name, model, tokenizer_from_json(kept))


def _run(run_id, tracking):
    if run_id == LATEST:
        found = tracking.latest_run({"model": "language"})
        if found is None:
            raise RefusedError(
                "run=latest: there is no language model yet; train one, for example: "
                "make experiment name=char_lm"
            )
        return found
    try:
        run = tracking.read_run(run_id)
    except tracking.NoSuchRunError as error:
        raise RefusedError(f"run={run_id}: {error}") from error
    if run.tags.get("role") == "sweep":
        return _best(tracking.read_sweep(run_id), run_id)
    if run.tags.get("model") != "language":
        raise RefusedError(
            f"run={run_id}: expected a language model, and {run.name!r} learnt "
            f"{run.tags.get('task', 'something else')}. Those there are: make ui, or run=latest."
        )
    if run.status != "FINISHED":
        raise RefusedError(
            f"run={run_id}: {run.name!r} is {run.status} and has left no model. "
            f"{run.tags.get('error', '')}".strip()
        )
    return run


def _best(sweep, run_id):
    speakers = [
        run
        for run in sweep.runs
        if run.status == "FINISHED" and run.tags.get("model") == "language"
    ]
    if not speakers:
        raise RefusedError(
            f"run={run_id}: no run of the sweep {sweep.name!r} has left a language model."
        )
    return min(
        speakers, key=lambda run: min(value for _, value in run.series["validation/cross_entropy"])
    )


def text_pieces(
    model,
    tokenizer,
    prompt: np.ndarray,
    *,
    length: int,
    seed: int = 0,
    number: int = 0,
    **settings,
) -> Iterator[str]:
    """What goes on from a prompt, piece by piece as it is drawn.

    It ends after `length` tokens, or where a sentence does, for a tokenizer that knows sentences.
    Neither padding nor `<UNK>` is drawn.

    Args:
        model: a `models.LanguageModel`.
        tokenizer: the `tasks.tokenizers.Tokenizer` that it was trained with.
        prompt: its tokens, int32 `(tokens,)`.
        length: tokens at most.
        seed: the same makes the same text.
        number: of the text, where several are drawn with one seed.
        **settings: `temperature`, `top_k` and `top_p` of a `Sampler`.

    Yields:
        Of each token what it adds to the text.
    """
    from models.sampling import Sampler
    from tasks.examples import PADDING
    from tasks.vocabulary import UNKNOWN

    sampler = Sampler(model, tokenizer.start, [PADDING, UNKNOWN], **settings)
    # Words are set apart by what stands around them: each piece is what the text has grown by.
    kept = list(prompt)[-1:]
    for drawn, _ in zip(sampler.sample(prompt, seed, number), range(length), strict=False):
        if drawn == tokenizer.end:
            return
        before = tokenizer.decode(kept)
        kept = [*kept, drawn]
        yield tokenizer.decode(kept)[len(before) :]
        kept = kept[-1:]
