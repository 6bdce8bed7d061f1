"""What HTTP/1.1 says, without any I/O: bytes in, values out.

scan        the linear look at raw bytes before anything else sees them
target      the request line: method, target, version; and authorities
fields      the verdict on one field line of a request
request     heads of requests: lines and policy → h11 → `RequestHead`
response    heads of responses, likewise
gate        how both are fed: in whatever pieces the bytes come
bodies      one strict reader per framing
paths       the normal form of a path, matched and forwarded
forwarding  what is said about the client to the upstream
addresses   one spelling per client address
problem     the responses that the gateway makes itself
"""
