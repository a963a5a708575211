"""Starts the real sagemaker-training toolkit, as a container's `train` command does.

Run by the toolkit's own Python. In the image the toolkit and the job share one environment; here the job's
is made once per bundle and shared by its jobs, so the toolkit is told which Python to install into and to
run, and its own packages are kept off the path that it hands on.
"""

import sys

sys.executable = sys.argv.pop(1)

# All of the toolkit is loaded while it can still be found.
from sagemaker_training import entry_point, process, runner  # noqa: E402, F401
from sagemaker_training.cli.train import main  # noqa: E402

sys.path[:] = [place for place in sys.path if "site-packages" not in place]
main()
