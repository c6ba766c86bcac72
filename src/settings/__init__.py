"""Which values a configuration may have: one class for each section of conf/.

A model builder, an optimizer or a diagnostic is slow to import, because it imports TensorFlow. The
values are checked before that, so their limits are declared here and not in the packages that use
them. Nothing in this package imports Keras, TensorFlow or MLflow.

The options of a task and of a unit are not declared here: their constructors check them.
"""
