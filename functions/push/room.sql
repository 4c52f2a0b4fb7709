-- Web Push: devices, and what is queued for them.
\ir dispatch.push_services.sql
\ir dispatch.set_push_services.sql
\ir dispatch.is_push_endpoint.sql
\ir dispatch.add_device.sql
\ir dispatch.remove_device.sql
\ir dispatch.acknowledge_event.sql
\ir dispatch.push_payload.sql
\ir dispatch.push_is_over.sql
\ir dispatch.choose_devices.sql
\ir dispatch.end_unreachable_window.sql
\ir dispatch.due_pushes.sql
\ir dispatch.take_pushes.sql
\ir dispatch.record_answers.sql
