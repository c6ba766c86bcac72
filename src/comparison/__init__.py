"""The runs of a sweep side by side: table, differences, verdict, figures."""
