"""Train, evaluate while training, merge, export."""
