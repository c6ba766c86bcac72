"""Recurrent networks as the course writes them, and what compares them.

Each room is imported by itself, such as `unrolled.layers`; this module imports none of them.
"""
