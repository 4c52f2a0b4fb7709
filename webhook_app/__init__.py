"""The webhook app: takes Stripe's events over HTTP and hands each verified one to the database.

It decides nothing: `public.process_stripe_event` does, in one transaction, and this app turns
its outcome into the status that tells Stripe whether to send the event again.
"""
