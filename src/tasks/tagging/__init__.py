"""A tag for every word: named entities."""
