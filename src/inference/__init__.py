"""Trained models: loading them, and the command lines of the programs that use them."""
