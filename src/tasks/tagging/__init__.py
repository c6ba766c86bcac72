"""Named entity recognition: a tag for every word."""
