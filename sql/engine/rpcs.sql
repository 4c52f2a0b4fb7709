-- The names of what clients call, in public: functions/api. (A function of theirs may have one.)
do $$
begin
    perform set_config(
        'dispatch.rpcs',
        '{'
        'accept_session_request,acknowledge_notice,block_customer,block_mechanic,'
        'broadcast_session_request_now,cancel_session_request,claim_pushes,'
        'complete_session_request,decline_session_request,finish_pushes,get_checkout_status,'
        'get_mechanic_status,get_session_request_by_checkout,get_session_request_timeline,'
        'list_favorite_mechanics,list_open_session_requests,list_session_request_events,'
        'list_session_request_mechanics,list_session_request_payments,prepare_checkout,'
        'process_stripe_event,register_device,release_session_request,reopen_session_request,'
        'request_free_session,set_presence,unblock_customer,unblock_mechanic,'
        'unregister_device'
        '}',
        true
    );
end;
$$;
