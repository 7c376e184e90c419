"""Pages and API: parse, call one verb of the desk or one query of the store, render.

``app.create_app`` is handed everything it needs. Nothing here opens a device, writes telemetry or raises an alarm;
live values and the gateway's own state come over the daemon's control socket.
"""
