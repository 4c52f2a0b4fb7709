-- Who is online, and whom a customer would book again.
\ir dispatch.announce_each.sql
\ir dispatch.announce_ended.sql
\ir dispatch.is_online.sql
\ir dispatch.list_favorites.sql
\ir dispatch.mark_silent_mechanics_offline.sql
\ir dispatch.mechanic_status.sql
\ir dispatch.note_answer.sql
\ir dispatch.note_silence.sql
\ir dispatch.note_silences.sql
\ir dispatch.set_away.sql
\ir dispatch.set_mechanic_presence.sql
\ir dispatch.silent_since.sql
\ir dispatch.write_turns.sql
