"""One answer for a whole text: film reviews."""
