"""Files and processes of the operating system. Needs nothing that has to be installed."""
