"""Classification of a whole text: film reviews."""
