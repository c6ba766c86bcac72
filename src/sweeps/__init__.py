"""From a command line to trained models: plan, launch, one run."""
