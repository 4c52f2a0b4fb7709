-- Who is out of a request for good, by the event log: the last of the topics is theirs. A view and
-- no function, so that whoever asks it pays for one look into an index.
create or replace view dispatch.exclusions as
select
    e.request_id,
    split_part(e.topics[pg_catalog.cardinality(e.topics)], ':', 2)::uuid as user_id,
    e.event,
    e.payload ->> 'reason' as reason,
    e.created_at
from dispatch.request_events as e
where e.event in ('request_declined', 'request_released');

comment on view dispatch.exclusions is
'Who does not get a request any more: they declined it, gave it back, or did not come.';
comment on column dispatch.exclusions.user_id is
'The mechanic''s user; the customer, where the mechanic''s account was gone by then.';
revoke all on dispatch.exclusions from public, anon, authenticated, service_role;
