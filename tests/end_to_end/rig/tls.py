"""A client that speaks TLS, and says as exactly as `Client` what came back."""

from __future__ import annotations

import select
import ssl
import time

from rig.client import PATIENCE, Client


def context(
    authority: bytes, certificate: tuple[str, str] | None = None, *, check: bool = True
) -> ssl.SSLContext:
    """What a client believes and shows: PEM of an authority, paths of a certificate and its key.
    Without `check` any host's certificate of the authority's will do."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = check
    made.load_verify_locations(cadata=authority.decode())
    if certificate is not None:
        made.load_cert_chain(*certificate)
    return made


class SecureClient(Client):
    """One connection over TLS. `before` is sent in front of the handshake."""

    def __init__(
        self,
        address: tuple[str, int],
        tls: ssl.SSLContext,
        name: str | None,
        *,
        before: bytes = b"",
        source: str | None = None,
        small_window: bool = False,
    ) -> None:
        super().__init__(address, source=source, small_window=small_window)
        try:
            self.sock.sendall(before)
            self.sock = tls.wrap_socket(
                self.sock,
                server_hostname=name,
                suppress_ragged_eofs=False,
                do_handshake_on_connect=False,
            )
            self.tls.do_handshake()
        except BaseException:
            self.close()
            raise

    @property
    def tls(self) -> ssl.SSLSocket:
        assert isinstance(self.sock, ssl.SSLSocket)
        return self.sock

    def _more(self) -> bool:
        try:
            return super()._more()
        except ssl.SSLError:  # SSLEOFError: it ended without close_notify
            self.ended = "cut"
            return False

    def end(self, patience: float = PATIENCE) -> str:
        """As Client.end; "closed" is an end by close_notify, "cut" one without."""
        deadline = time.monotonic() + patience
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        while not self.ended:
            left = max(0.0, deadline - time.monotonic())
            if not self.tls.pending() and not poller.poll(left * 1000):
                return "open"
            self._more()
        return self.ended
