"""A sentence for each figure: what is measured."""

from __future__ import annotations

from typing import Final

__all__ = ["ABOUT"]

ABOUT: Final = {
    "B1": "Durable appends of messages of 400 characters, one at a time; median and quartiles of runs in turn.",
    "B2": "The same from many sessions at once, each one append at a time, in one process.",
    "B3": "What an event costs when a session is read from SQLite: bytes, validation, fold.",
    "B4": "Opening a session whose log is open, as a service does for each request.",
    "B6": "A commit of the live messages, compared with an append to the same session.",
    "B7": "Tasks claimed, run and completed by one worker, durably, whose function does nothing.",
    "B8": "Verifying a session, in CPU time per event on top of reading it: the hash chain alone, and everything.",
    "B9": "Durable appends to PostgreSQL 18, compared with plain inserts of psycopg.",
    "B10": "An append with a session folder that follows the log, compared with one without.",
    "B11": "A new interpreter, with the package installed as users have it.",
    "B12": "The CPU time of the server's process per request.",
    "B13": "Writing a message token by token, and reading it afterwards.",
    "B14": "What a model call reads, with few and with many live messages.",
    "B15": "The state of a session in its past, and a search for the event that changed it.",
    "B16": "A report and the inspector in Chromium.",
    "B17": "What `eventlog ls` does.",
    "B18": "How large the WAL grows while readers overlap.",
    "B19": "The summary that is made when no summariser is given.",
    "B20": "Reading a whole conversation as messages.",
    "B21": "How long single appends wait, 64 sessions at once, while other programs use the log.",
    "GROWTH": "Each operation on sessions of several lengths, all in turn; the first commit takes all messages.",
    "LISTS": "A list of all sessions from the index and their heads.",
    "L5": "Records that followers miss: none may be.",
    "K6": "A server killed while it writes: acknowledged records that are lost or doubled.",
    "K6F": "A primary killed, its standby promoted.",
    "P5": "One of two workers killed: every archive is finished once.",
    "L8": "Durable appends to NATS JetStream, compared with nats-py.",
    "K6J": "The leader of three servers killed while it writes.",
    "P5J": "One of two workers killed, on JetStream.",
    "FILES": "Appends to the store in plain files, compared with a write and an fdatasync each.",
}
