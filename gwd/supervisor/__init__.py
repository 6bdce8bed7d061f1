"""Sockets, children, signals: the process that owns everything and does none of the work."""
