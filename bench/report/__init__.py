"""Tables and pictures, made from files of results and from nothing else."""
