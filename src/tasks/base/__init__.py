"""The interface of a task, its examples and batches, and its metrics."""
