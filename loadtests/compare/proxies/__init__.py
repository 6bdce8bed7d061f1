"""The configurations of the proxies under comparison, a module each.

One worker each. All route by path, send the same forwarding fields (X-Forwarded-For and -Proto,
X-Request-Id), keep connections to the service, and really write an access log. What a peer would
do by default stays as it is unless a comment says why not.
"""
