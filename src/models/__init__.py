"""Models that consist of an embedding, a stack of recurrent layers and a head."""

from unrolled.models.heads import AdaptiveSoftmax
from unrolled.models.language import LanguageModel, build_language_model
from unrolled.models.stack import build_model, trainable_parameters, units_for_parameters
from unrolled.models.tag_heads import CRF, TagSoftmax
from unrolled.models.tagger import Tagger, build_tagger
from unrolled.settings.wiring import DIRECTIONS, MERGES

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
