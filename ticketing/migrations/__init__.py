"""The schema's history. A step is one transaction; nothing here goes back."""
