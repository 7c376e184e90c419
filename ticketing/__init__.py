"""The ticket core: assets, alarms, evidence and work orders, with promises kept by the database.

May import no other room and reads no clock: time is an argument (UTC, integer milliseconds).
"""
