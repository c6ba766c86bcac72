"""conf/budget: how long a model is trained."""

from unrolled.settings.section import PositiveInteger, Section


class Budget(Section):
    """Epochs and examples; null for all examples that there are."""

    epochs: PositiveInteger
    train_examples: PositiveInteger | None
    evaluation_examples: PositiveInteger | None
