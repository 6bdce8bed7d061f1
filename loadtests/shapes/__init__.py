"""Loads that change with time: the clients of steady.py, more or fewer of them."""
