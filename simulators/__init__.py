"""The test stand: a plant as a pure function of time, on real wires. May import no other room.

Offers ``plant.signals`` (values at any time, by seed), ``faults`` (labelled scenarios), and, as
``python -m simulators``, the same plant on Modbus TCP, Modbus RTU, an ASCII instrument and MQTT,
labelled recordings, a bench of many cheap devices and a proxy that makes trouble.
"""
