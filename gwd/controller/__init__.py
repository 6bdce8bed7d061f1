"""The controller: one process that finds out what all workers need to know (by health checks), and
has the kernel drop who is banned. Workers never wait for it; a dead controller is noticed by
nobody.

`run` is what the supervisor's child calls.
"""

from gwd.controller.process import run

__all__ = ["run"]
