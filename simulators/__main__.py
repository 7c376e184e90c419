"""``python -m simulators``: the command line of the test stand, which ``watchkeeper simulate`` calls."""

import os

from simulators.cli import app

app(prog_name=os.environ.get("SIMULATORS_CALLED", "python -m simulators"))
