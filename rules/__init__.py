"""Rules: when a signal becomes an alarm. Pure: time is an argument, and nothing here reads a clock, a file or a wire."""
