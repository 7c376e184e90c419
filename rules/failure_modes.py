"""Failure modes: what is observed, in the three-letter codes of ISO 14224 for rotating equipment."""

from __future__ import annotations

FAILURE_MODES: dict[str, str] = {
    "AIR": "Abnormal instrument reading",
    "BRD": "Breakdown",
    "COM": "Communication lost",  # ours: of a device on its wire, not of a machine
    "ELF": "External leakage of fuel",
    "ELP": "External leakage of process medium",
    "ELU": "External leakage of utility medium (oil, coolant)",
    "ERO": "Erratic output",
    "FTS": "Failure to start on demand",
    "HIO": "High output",
    "INL": "Internal leakage",
    "LOO": "Low output",
    "NOI": "Noise",
    "OHE": "Overheating",
    "OTH": "Other",
    "PDE": "Parameter deviation",
    "PLU": "Plugged or choked",
    "SER": "Minor in-service problem",
    "STD": "Structural deficiency",
    "STP": "Failure to stop on demand",
    "UNK": "Unknown",
    "UST": "Spurious stop",
    "VIB": "Vibration",
}
