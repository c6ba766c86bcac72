"""What runs any cell through time, fast."""
