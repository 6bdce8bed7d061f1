"""TLS towards clients: which certificate for which name, and the contexts that handshakes use.

Knows no sockets and no loop: a worker asks for a listener's context and does the handshake.
"""
