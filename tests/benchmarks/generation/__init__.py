"""How fast a model answers a suite: fcbench beside other ways to run it, and the machine's floor."""
