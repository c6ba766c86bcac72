"""Tasks whose clue lies many steps back: adding, copying, temporal order."""
