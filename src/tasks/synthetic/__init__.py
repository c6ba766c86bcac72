"""Synthetic tasks with long time lags: adding, copying, temporal order."""
