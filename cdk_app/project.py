"""Where the project's files lie: in a checkout beside the packages, where it is installed in the wheel.

What is built or fetched goes into the checkout, or into a cache folder of the user: an installed package is
never written to.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PACKAGES: Final = Path(__file__).parents[1]
"""The folder that our packages lie in: a checkout, or site-packages."""

IN_CHECKOUT: Final = all((PACKAGES / name).is_file() for name in ("pyproject.toml", "app.py", "cdk.json"))

SHIPPED: Final = PACKAGES if IN_CHECKOUT else Path(__file__).with_name("shipped")
"""app.py, cdk.json and package-lock.json, which the cdk command line starts from."""


def cache() -> Path:
    """Return where built and fetched files go: the checkout, or `$XDG_CACHE_HOME/fedstack`."""
    if IN_CHECKOUT:
        return PACKAGES
    told = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(told) if Path(told).is_absolute() else Path.home() / ".cache") / "fedstack"


CACHE: Final = cache()
TOOLS: Final = {
    "CDK_HOME": "cdk",
    "JSII_RUNTIME_PACKAGE_CACHE_ROOT": "jsii",
    "MPLCONFIGDIR": "matplotlib",
    "NODE_COMPILE_CACHE": "node",
    "UV_CACHE_DIR": "uv",
    "npm_config_cache": "npm",
}
"""What says where each tool that we call keeps its cache."""


def keep_caches() -> None:
    """Let the tools of an installed package keep their caches in ours; a place that a person chose stays."""
    if not IN_CHECKOUT:
        for variable, folder in TOOLS.items():
            os.environ.setdefault(variable, str(CACHE / "tools" / folder))


DIST: Final = CACHE / "dist"
CDK: Final = CACHE / "node_modules" / ".bin" / "cdk"
"""The pinned cdk command line; `cdk_app.node.ensure` installs it."""
