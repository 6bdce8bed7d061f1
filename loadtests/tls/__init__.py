"""TLS beside nginx and HAProxy: handshakes, requests, memory, resumption, findings, a soak."""
