"""The encoders beside other libraries: pyperf scripts, and a table of what was asked and what was reached."""
