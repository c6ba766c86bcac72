"""What is learned: data, batches, loss and metrics, by family."""
