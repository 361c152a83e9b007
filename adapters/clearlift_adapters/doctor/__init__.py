"""What can be wrong with an installation, found before it goes wrong: one module per subject.

Every check takes facts and yields findings, each with its remedy. The command line gathers the
facts; `start` is the part of it that every tick and relay can afford.
"""
