"""Recurrent networks as the course writes them, and what compares them.

Import each package by its name, such as `unrolled.layers`; this module imports none of them.
"""
