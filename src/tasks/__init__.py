"""What is learnt: data, batches, loss, metrics; one module a task."""
