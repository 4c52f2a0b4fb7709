"""The sender of Web Push: takes what the database has queued and hands it to the push services.

Everything that decides (who is told, until when, what is tried again) is in the database
(functions/push/). Several of these share the work; one that dies leaves it to the others.
"""
