"""The hall: composition, storage, command line, pages. The only room with doors to all others (never to simulators)."""
