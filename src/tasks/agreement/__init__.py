"""Subject-verb agreement at a distance."""
