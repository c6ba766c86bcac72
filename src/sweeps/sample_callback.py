"""What a language model says while it learns."""

import keras

from unrolled.inference.generation import generate_text
from unrolled.tasks.language.tokenizers import Tokenizer
from unrolled.tracking import RunWriter

LENGTH, TEMPERATURE = 300, 0.8
_SENTENCES = 12
_SEED = 0


class EpochSamples(keras.callbacks.Callback):
    """Leaves a text on the run after each epoch: one can watch the model learn to spell.

    Of characters it is one text; of words, where a text ends with its sentence, it is several.

    Args:
        tokenizer: of the task.
        tracked: the run.
    """

    def __init__(self, tokenizer: Tokenizer, tracked: RunWriter):
        super().__init__()
        self._tokenizer = tokenizer
        self._tracked = tracked

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: ARG002
        several = 1 if self._tokenizer.end is None else _SENTENCES
        texts = ["".join(self._pieces(number, LENGTH // several)) for number in range(several)]
        self._tracked.log_text("\n".join(texts) + "\n", f"samples/epoch_{epoch + 1:03}.txt")

    def _pieces(self, number, length):
        prompt = self._tokenizer.encode("")
        return generate_text(
            self.model,
            self._tokenizer,
            prompt,
            length=length,
            seed=_SEED,
            number=number,
            temperature=TEMPERATURE,
        )
