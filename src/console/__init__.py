"""What programs share on the terminal: start and end, refusals, tables, progress."""
