"""What the pytest plugin does once a test asks for a run. Imported then, and not before."""
