"""`gwd demo`: sample services and a gateway in front of them, on this machine, for trying out.

`Demo` in `show` is the whole of it; `service` is what an instance of a sample service runs.
"""
