"""Rules of single values that several contracts have: texts of one line, names of time zones, and
local times with their gaps and repeats.

The room is pure. It imports no other room.
"""
