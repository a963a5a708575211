"""Starts the real sagemaker-training toolkit, as a container's `train` command does.

Run by the toolkit's own Python. In the image the toolkit and the job share one environment; here the job's is
made once per bundle and shared by the jobs, so the toolkit is told which Python to install into and to run.
"""

import sys

sys.executable = sys.argv.pop(1)

from sagemaker_training.cli.train import main  # noqa: E402 - after it is told

main()
