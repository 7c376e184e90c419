"""The plant: what its sensors say at any time. A pure function of time, seed and faults."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from simulators.faults import SCENARIOS, Fault, Moment
from simulators.machines import Signals, machine_of
from simulators.noise import Noise

DEMO_ASSETS = ("pump-1", "motor-1", "compressor-1", "fan-1")


def signals(asset: str, t: ArrayLike, faults: Sequence[Fault] = (), seed: int = 0) -> Signals:
    """Each quantity of ``asset`` at ``t`` (n,), in s since the epoch; NaN where its sensor says nothing.

    The same time gives the same values in whatever order or portion it is asked. Faults of other
    assets change nothing; several faults of one asset act in the order given. ValueError: no such asset.
    """
    machine = machine_of(asset)
    noise = Noise(seed, asset)
    times = np.atleast_1d(np.asarray(t, dtype=np.float64))
    values = machine.run(noise, times)
    own = [fault for fault in faults if fault.asset == asset]
    for position, fault in enumerate(own):
        x = fault.progress(times)
        if not (x >= 0).any():
            continue

        def at_onset(fault: Fault = fault, earlier: Sequence[Fault] = own[:position]) -> Signals:
            return signals(asset, fault.onset, earlier, seed)

        moment = Moment(machine, times, x, values, noise, fault.quantity, at_onset)
        values = values | SCENARIOS[fault.scenario].effect(moment)
    return values
