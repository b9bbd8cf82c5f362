"""Files that people bring from other systems: what kind of file it is, its lines, the records of a
CSV, what a cell of a spreadsheet stands for, and what became of each row.

A file is read once, in a thread, in constant memory. The room knows no contacts and no
suppressions; it imports `streams` alone.
"""
