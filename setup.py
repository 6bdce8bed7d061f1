"""The optional compiled form: `GWD_COMPILED=1 pip install .` has mypyc compile the hot modules.

What gwd is stands in setup.cfg. Without the variable nothing is compiled and no compiler is asked
for: the plain source is the product, and the compiled form is made of that same source, unchanged.

The modules below are those that a request passes through. They are one group, so that they call
each other without Python in between; the rest stays plain and sees no difference.
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from setuptools import setup

HOT = (
    *("clock", "outbox"),
    *("http/bodies", "http/fields", "http/forwarding", "http/gate", "http/head", "http/last_head"),
    *("http/problem", "http/recall", "http/request", "http/response", "http/scan", "http/target"),
    *("policies/quota", "policies/shed", "routing/table", "routing/tree", "segment/limiter"),
    "segment/metrics",
    *("upstream/balance", "upstream/connection", "upstream/endpoint", "upstream/exchange"),
    *("upstream/replay", "upstream/upstream", "worker/account", "worker/client", "worker/framing"),
    *("worker/intake", "worker/journey", "worker/answering", "worker/connection"),
)
DERIVED = ("upstream/upgrade", "worker/detour", "worker/secure")
"""Not hot, but what derives from compiled classes has to be compiled, too."""


def needed() -> list[str]:
    """What the build itself needs: the compiler, and what the modules import, for its types."""
    declared = configparser.ConfigParser()
    declared.read(Path(__file__).with_name("setup.cfg"))
    run = declared["options"]["install_requires"]
    compile_ = declared["options.extras_require"]["compile"]
    return [line for line in (run + compile_).splitlines() if line]


def compiled() -> dict[str, object]:
    try:
        from mypyc.build import mypycify
    except ModuleNotFoundError:  # the installer asks what is needed, and then comes again
        return {"setup_requires": needed()}
    sources = [f"gwd/{module}.py" for module in HOT + DERIVED]
    modules = mypycify(sources, opt_level="3", debug_level="0", group_name="gwd")
    return {"setup_requires": needed(), "ext_modules": modules}


setup(**compiled() if os.environ.get("GWD_COMPILED") == "1" else {})
