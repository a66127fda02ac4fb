"""What `twolane advise` knows: costs, what is measured, what follows. Needs neither click nor rich."""
