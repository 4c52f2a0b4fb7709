-- Demo people, for `supabase db reset` or `supabase db push --include-seed`; not for production.
-- Nobody has a password: sign in by a magic link, which a local stack shows in its mailbox.
insert into auth.users (
    instance_id, id, aud, role, email, email_confirmed_at, raw_app_meta_data, raw_user_meta_data,
    -- Supabase Auth cannot read a user whose tokens are null.
    confirmation_token, recovery_token, email_change, email_change_token_new
)
select
    '00000000-0000-0000-0000-000000000000',
    p.id::uuid,
    'authenticated',
    'authenticated',
    p.name || '@demo.example',
    now(),
    '{"provider": "email", "providers": ["email"]}',
    jsonb_build_object('name', initcap(p.name)),
    '',
    '',
    '',
    ''
from (
    values
    ('c0000000-0000-4000-8000-000000000001', 'carla'),
    ('c0000000-0000-4000-8000-000000000002', 'chris'),
    ('a0000000-0000-4000-8000-000000000001', 'frank'),
    ('a0000000-0000-4000-8000-000000000002', 'mona'),
    ('a0000000-0000-4000-8000-000000000003', 'mike'),
    ('a0000000-0000-4000-8000-000000000004', 'nina')
) as p (id, name)
on conflict do nothing;

insert into public.mechanics (id, display_name, status, brands, country, city)
values
('a0000000-0000-4000-8000-000000000001', 'Frank', 'approved', '{Volvo,Saab}', 'SE', 'Malmö'),
('a0000000-0000-4000-8000-000000000002', 'Mona', 'approved', '{Fiat}', 'IT', 'Turin'),
('a0000000-0000-4000-8000-000000000003', 'Mike', 'approved', '{Ford}', 'US', 'Detroit'),
('a0000000-0000-4000-8000-000000000004', 'Nina', 'pending', '{}', 'SE', 'Lund')
on conflict do nothing;

insert into public.customer_favorites (customer_id, mechanic_id)
values
('c0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001'),
('c0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000002'),
('c0000000-0000-4000-8000-000000000002', 'a0000000-0000-4000-8000-000000000001')
on conflict do nothing;
