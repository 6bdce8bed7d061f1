"""One answer from several upstreams: what to fetch (`plan`) and how to join it (`merge`).

Pure: the worker makes the exchanges and hands over what came back.
"""
