"""Terminal output that the programs share: exit codes, error messages, tables, progress bars."""
