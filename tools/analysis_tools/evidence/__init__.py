"""The parts of mp_evidence.py: what is run, how, and what is made of the results."""
