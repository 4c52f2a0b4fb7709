insert into public.service_plans (code, title, session_type, price_cents, currency)
values
('free-diagnostic', 'Free diagnostic', 'diagnostic', 0, 'usd'),
('quick-chat', 'Quick chat', 'chat', 999, 'usd'),
('expert-video', 'Expert video session', 'video', 2999, 'usd')
on conflict (code) do nothing;
