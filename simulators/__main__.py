"""``python -m simulators``: the command line of the test stand."""

from simulators.cli import app

app(prog_name="python -m simulators")
