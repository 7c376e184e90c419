"""How the work goes, in figures whose formulas are written down: all from the events, none from a feeling."""
