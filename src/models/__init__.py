"""Models made of an embedding, a stack of recurrent layers and a head."""

from models.heads import AdaptiveSoftmax
from models.language import LanguageModel, build_language_model
from models.stack import (
    DIRECTIONS,
    MERGES,
    build_model,
    trainable_parameters,
    units_for_parameters,
)

__all__ = [
    "DIRECTIONS",
    "MERGES",
    "AdaptiveSoftmax",
    "LanguageModel",
    "build_language_model",
    "build_model",
    "trainable_parameters",
    "units_for_parameters",
]
