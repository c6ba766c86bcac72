"""Trained models: loading them, and what a command line asks of them."""
