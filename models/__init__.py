"""Models: detectors that turn signals into new signals (a score is a soft sensor). Pure: no clock, no network, no other room."""
