"""The child's side of the process model: what a forked child is given, and how it is told things.

Worker and controller live in `child.Child` and obey `control.Control`; the supervisor, which makes
the one and speaks to the other, is above them.
"""
