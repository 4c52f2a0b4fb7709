-- For wrk: posts the signed events in the file named on its command line, one after another. Each
-- takes two lines there, its signature and its body.
local events = {}
local turn = 0

function init(arguments)
    local file = assert(io.open(arguments[1]))
    for signature in file:lines() do
        local headers = {["Stripe-Signature"] = signature, ["Content-Type"] = "application/json"}
        table.insert(events, wrk.format("POST", "/stripe/webhook", headers, file:read()))
    end
    file:close()
end

function request()
    turn = turn % #events + 1
    return events[turn]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "microseconds": %d, "refused": %d, "broken": %d}\n',
        summary.requests, summary.duration, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout
    ))
end
