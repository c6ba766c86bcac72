"""Reading, encoding and caching data sets."""
