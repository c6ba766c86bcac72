"""A model builder outside the package: embedding, one recurrent layer, the mean of its outputs."""

import keras


def build(unit, *, vocabulary_size, features, classes, per_step, units, width, name=None):
    if width < 1:
        raise ValueError(f"`width`: expected at least 1, got {width}.")
    if features is not None or per_step:
        raise ValueError("Expected a task with tokens as inputs and one answer per sequence.")
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(vocabulary_size, width)(tokens)
    x = unit(units=units, return_sequences=True, name="recurrent")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, keras.layers.Dense(classes, name="scores")(x), name=name)
