"""Models made of an embedding, a stack of recurrent layers and a head."""

from models.stack import (
    DIRECTIONS,
    MERGES,
    build_model,
    trainable_parameters,
    units_for_parameters,
)

__all__ = ["DIRECTIONS", "MERGES", "build_model", "trainable_parameters", "units_for_parameters"]
