"""Models: detectors that turn signals into new signals. A score is a soft sensor; only rules raise alarms.

Offers ``SoftSensor`` (one model of one asset, as the daemon runs it), the detectors behind it, and the
settings of ``models.toml``. Pure: no clock, no network, no other room. What the daemon imports stands on
NumPy alone.
"""

from models.promise import LIMIT, Contribution, Detector, ModelError
from models.sensor import SoftSensor, State
from models.settings import (
    EwmaSettings,
    LifeSettings,
    MachineSettings,
    ModelSettings,
    PlausibleSettings,
    Running,
    Scope,
    SignalsSettings,
    T2Settings,
)

__all__ = [
    "LIMIT",
    "Contribution",
    "Detector",
    "EwmaSettings",
    "LifeSettings",
    "MachineSettings",
    "ModelError",
    "ModelSettings",
    "PlausibleSettings",
    "Running",
    "Scope",
    "SignalsSettings",
    "SoftSensor",
    "State",
    "T2Settings",
]
