"""What mp_evidence.py and semask_evidence.py share, and their studies as data."""
