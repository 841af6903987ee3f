"""What exists for speed and memory on the CPU alone; the model files know nothing of it."""
