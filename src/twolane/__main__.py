"""``python -m twolane``: what is installed here."""

from twolane._about import about

for name, value in about().items():
    print(f"{name:16} {value}")
