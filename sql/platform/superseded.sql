-- What earlier versions had under another signature: it would stay beside the new one.
drop function if exists dispatch.explain_routing(uuid, timestamptz);
drop function if exists dispatch.health(timestamptz);
