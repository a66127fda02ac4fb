"""What others send the same records with, each in a process of its own; `CONTENDERS` lists them."""

CONTENDERS = ()
