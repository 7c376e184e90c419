"""The engineer's bench: rules linted, tested, played over the past, tuned and compared, before they go live.

It reads a site and its history and writes reports and proposals; it never touches the site's database or its rules.
``facts`` is what lint knows of a site, ``casework`` runs rule tests with work orders, ``recorded`` reads the past,
``trial`` plays rules over it up to the orders, ``tuning`` finds limits, ``report`` and ``drawing`` show what came out.
"""
