"""Equipment: what is on the wires, read into batches.

Offers: lines (Modbus TCP and RTU, serial instruments) and listeners (MQTT) that are given settings
and an ``emit``. May import no other room; the hall never reaches past this package into a wire.
"""
