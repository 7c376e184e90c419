"""The test stand: a plant as a pure function of time, on real wires. May import no other room."""
