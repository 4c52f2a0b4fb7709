create table if not exists dispatch.request_events (
    id bigint generated always as identity constraint request_events_pkey primary key,
    request_id uuid not null,
    event text not null,
    actor_id uuid,
    topics text[] not null default '{}',
    payload jsonb not null,
    created_at timestamptz not null default now(),
    delivered_at timestamptz
);

-- Three times, in milliseconds since 1970: when notices were last sent; when the sweep's job was
-- made, which pg_cron does not keep; and when the marketplace last refused a write. Sequences,
-- because reading and setting one takes no row lock, and what is set stays set though the caller's
-- transaction fails.
do $$
begin
    if to_regclass('dispatch.scheduled_at') is null then
        create sequence dispatch.scheduled_at minvalue 0 start with 0;
        comment on sequence dispatch.scheduled_at is
        'When the sweep''s job was made, in milliseconds since 1970.';
    end if;
    if to_regclass('dispatch.last_delivery') is null then
        create sequence dispatch.last_delivery minvalue 0 start with 0;
        comment on sequence dispatch.last_delivery is
        'When notices were last sent, in milliseconds since 1970.';
    end if;
    if to_regclass('dispatch.last_refusal') is null then
        create sequence dispatch.last_refusal minvalue 0 start with 0;
        comment on sequence dispatch.last_refusal is
        'When the marketplace last refused what an RPC wrote, in milliseconds since 1970.';
    end if;
end;
$$;

create table if not exists dispatch.stripe_events (
    id text not null constraint stripe_events_pkey primary key,
    type text not null,
    payload jsonb not null,
    received_at timestamptz not null default now(),
    processed_at timestamptz,
    outcome text,
    error text,
    request_id uuid,
    subject text,
    scrubbed_at timestamptz
);
-- A ledger that is there already may lack the last two. Asked first: "if not exists" locks it too.
do $$
begin
    if not exists (
        select from pg_catalog.pg_attribute
        where attrelid = 'dispatch.stripe_events'::regclass and attname = 'subject'
    ) then
        alter table dispatch.stripe_events add column subject text, add column scrubbed_at timestamptz;
        update dispatch.stripe_events as e
        set subject = case
            when e.type like 'checkout.session.%' then e.payload #>> '{data,object,id}'
            else e.payload #>> '{data,object,payment_intent}'
        end
        where e.outcome in ('waiting_for_payment', 'refunded', 'error');
    end if;
end;
$$;

-- What a marketplace that was there first has no column for. Of such a one the engine governs the
-- requests that stand here, and no other; no foreign key, as that would put triggers on its table.
create table if not exists dispatch.windows (
    request_id uuid not null constraint windows_pkey primary key,
    ends_at timestamptz not null,
    announced_at timestamptz,
    closed_at timestamptz
)
with (fillfactor = 80);

create table if not exists dispatch.presence (
    mechanic_id uuid not null constraint presence_pkey primary key,
    is_online boolean not null,
    last_seen_at timestamptz not null
)
with (fillfactor = 80);

-- What a mechanic left unanswered. A row goes with their next answer.
create table if not exists dispatch.unanswered (
    mechanic_id uuid not null constraint unanswered_pkey primary key,
    windows integer not null
)
with (fillfactor = 80);

-- A booking may name more favourites than one. Whoever is asked now stands in the request's own
-- columns; who comes after stands here, until their turn.
create table if not exists dispatch.steps (
    request_id uuid not null,
    turn integer not null,
    mechanic_id uuid not null,
    window_minutes integer not null,
    constraint steps_pkey primary key (request_id, turn)
);

-- Who is never to hear of whom: of each block a row for either of the two, so that whichever of
-- them is asked about is found by one look-up.
create table if not exists dispatch.blocks (
    user_id uuid not null,
    other_id uuid not null,
    is_theirs boolean not null,
    created_at timestamptz not null default now(),
    constraint blocks_pkey primary key (user_id, other_id, is_theirs)
);

-- Web Push: whose browser is reached at which address, and what is to be sent there.
create table if not exists dispatch.devices (
    endpoint text not null constraint devices_pkey primary key,
    user_id uuid not null,
    p256dh text not null,
    auth text not null,
    registered_at timestamptz not null default now()
);

create table if not exists dispatch.pushes (
    id bigint generated always as identity constraint pushes_pkey primary key,
    event_id bigint not null,
    request_id uuid not null,
    user_id uuid,
    endpoint text,
    is_reminder boolean not null default false,
    due_at timestamptz not null,
    expires_at timestamptz not null,
    attempts integer not null default 0,
    finished_at timestamptz,
    outcome text,
    status integer
)
with (fillfactor = 80);

-- What of the feature's was there before it: its down.sql leaves that.
create table if not exists dispatch.found_before (
    what text not null constraint found_before_pkey primary key
);

comment on table dispatch.found_before is
'Columns and indexes of the feature''s names that were the marketplace''s own before up.sql.';
comment on table dispatch.windows is
'On a marketplace that was there first: the requests for which a priority window was opened, which '
'are the ones that the engine governs. On a marketplace of ours it stays empty.';
comment on column dispatch.windows.ends_at is
'The end of the window, as the request''s columns say; for the sweep''s index.';
comment on column dispatch.windows.announced_at is 'When it was broadcast; null: not yet.';
comment on column dispatch.windows.closed_at is
'When the request stopped being pending; null: it is. The engine is done with it, unless it '
'becomes pending again.';
comment on table dispatch.steps is
'The favourites who are asked after the one whose window is open, in the order of turn, each for '
'window_minutes. A row goes when its turn comes.';
comment on table dispatch.blocks is
'Who is never to hear of whom, by the ids of users: of each block one row for each of the two.';
comment on column dispatch.blocks.is_theirs is
'Whether user_id blocked other_id; false: it was the other way round.';
comment on table dispatch.unanswered is
'How many windows in a row of a mechanic who said to be online ended by time without an answer.';
comment on table dispatch.devices is
'Push subscriptions (RFC 8030): an address that a browser gave, and its keys (RFC 8291).';
comment on table dispatch.pushes is
'Web Push: one row for each device that is told of an event; of a broadcast first one without '
'user_id and endpoint, in place of which dispatch.claim_pushes puts those of the best mechanics.';
comment on column dispatch.pushes.due_at is
'When it is to be sent, or tried again; while a sender has it, when its time is up.';
comment on column dispatch.pushes.expires_at is 'From then on it is of no use.';
comment on column dispatch.pushes.outcome is
'sent, acknowledged (seen before it was sent), over (did not hold any more), gone (the device is), '
'refused (by the push service, for good), given_up (it never answered), or addressed (replaced by '
'those of its mechanics); null: not finished.';
comment on column dispatch.pushes.status is 'The push service''s last answer; null: none.';
comment on table dispatch.presence is
'On a marketplace that was there first: what a mechanic last said by set_presence, and when. On a '
'marketplace of ours it stays empty.';
comment on table dispatch.request_events is
'Append-only log: one row for each transition of a session request. id is the clients'' cursor.';
comment on column dispatch.request_events.actor_id is 'Who caused it; null is the system.';
comment on column dispatch.request_events.topics is
'Who is told, the customer''s topic first; empty: logged only.';
comment on column dispatch.request_events.delivered_at is
'When the notices were sent; null: the sweep will send them.';
comment on table dispatch.stripe_events is
'Ledger of verified Stripe webhook events. processed_at is null: not done, see error; with an '
'error and processed_at: done, but look at it.';
comment on column dispatch.stripe_events.scrubbed_at is
'When what is personal was taken out of the payload; null: it is as Stripe sent it.';
comment on column dispatch.stripe_events.subject is
'What this event says something about, other than that it was booked: the id of the Checkout '
'Session (of one that is ignored: it was paid, in another mode or account than expected), or of '
'the payment that was refunded or disputed. Null: nothing to look at.';
comment on column dispatch.stripe_events.request_id is
'The request that this event booked, found booked, or cancelled.';

-- The loop reads past each delivered event that is still in the index of the undelivered. So vacuum
-- comes sooner than a fifth of the log, and does not leave the indexes out. Not in "create table",
-- as a log that is there already needs it too.
do $$
begin
    if
        exists (
            select from pg_catalog.pg_class
            where oid = 'dispatch.request_events'::regclass and reloptions is null
        )
    then
        alter table dispatch.request_events
        set (autovacuum_vacuum_scale_factor = 0.02, vacuum_index_cleanup = on);
    end if;
end;
$$;

-- No client has a grant; should one get it by mistake, it still reads nothing. Made once: again, it
-- would lock the tables.
do $$
declare
    v_table text;
begin
    foreach v_table in array array[
        'request_events', 'stripe_events', 'windows', 'presence', 'found_before', 'devices', 'pushes',
        'steps', 'blocks', 'unanswered'
    ] loop
        if not exists (
            select from pg_catalog.pg_policies
            where schemaname = 'dispatch' and policyname = v_table || '_nobody'
        ) then
            execute pg_catalog.format('alter table dispatch.%I enable row level security', v_table);
            execute pg_catalog.format(
                'create policy %I on dispatch.%I using (false)', v_table || '_nobody', v_table
            );
        end if;
    end loop;
end;
$$;
revoke all on all tables in schema dispatch from public, anon, authenticated, service_role;
revoke all on all sequences in schema dispatch from public, anon, authenticated, service_role;
