"""The families of models that `generate.py` makes."""
