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
from models.tag_heads import CRF, TagSoftmax
from models.tagger import Tagger, build_tagger

__all__ = [
    "CRF",
    "DIRECTIONS",
    "MERGES",
    "AdaptiveSoftmax",
    "LanguageModel",
    "TagSoftmax",
    "Tagger",
    "build_language_model",
    "build_model",
    "build_tagger",
    "trainable_parameters",
    "units_for_parameters",
]
