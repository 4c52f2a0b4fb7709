"""The hub: one connection listens to PostgreSQL, thousands of clients hear by Server-Sent Events.

Everything that decides (who may listen, who hears of what, what was missed) is in the database
(functions/events/). It keeps nothing: a client that comes again says what it has seen.
"""
