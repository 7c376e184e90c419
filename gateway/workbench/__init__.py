"""The engineer's bench: rules linted, tested, played over the past, tuned and compared, before they go live.

It reads a site and its history and writes reports and proposals; it never touches the site's database or its rules.
``facts`` is what lint knows of a site, ``casework`` runs rule tests with work orders, ``recorded`` reads the past,
``stretch`` chooses what is played, ``trial`` plays it up to the orders of a ``desk`` of its own; ``labels``,
``question`` and ``tuning`` find limits where faults are known, ``worst`` where the orders tell what alarms were worth;
``difference`` compares, ``packs`` tries what is shipped; ``report``, ``page``, ``drawing`` and ``terminal`` show it.
"""
