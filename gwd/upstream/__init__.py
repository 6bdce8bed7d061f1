"""What lies behind the gateway: upstreams, their endpoints, and one request's trip to them.

Ownership reads outside-in: an `Upstream` has endpoints and a balancer; an `Endpoint` has the pooled
connections to one address; a `Connection` speaks HTTP/1.1 with it for one `Exchange` at a time; an
`Exchange` is one request on its way: it chooses, sends, retries, and hands the answer to a `Sink`.
"""
