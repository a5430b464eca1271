"""Bundles: sessions in one file that reads without the log, and without an application's classes.

format.py     what is in the file, and within which limits
writing.py    sessions of a log → the bytes of a file: the same every time
reading.py    a file → sessions, checked before anything is made of them
redacting.py  events without secrets, or without any text
store.py      a bundle as a store that is only read: `bundle:///case.zip`
importing.py  the sessions of a bundle into a log
"""
