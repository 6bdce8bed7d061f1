"""The contexts of listeners with TLS: made before the fork, alive through every reload.

A *listener's context* holds what a listener decides: versions, ciphers, ALPN, whether clients are
asked for a certificate, and, inside OpenSSL, the keys of its session tickets. It has no
certificate of its own. Those lie in *certificate contexts*, one per certificate, and the SNI
callback of every handshake puts the right one in (`sslobj.context = …`). OpenSSL then takes
certificate, ciphers, ALPN and client authorities from there, so these contexts all get the same
policy; versions, the demand for a client certificate and tickets stay with the listener's (held by
tests). What follows from that:

- New certificates are another dictionary, put in place between two handshakes. Nothing is done to
  a living context, and a certificate of another kind (RSA, then EC) leaves nothing behind.
- Tickets are the listener context's. It is made before the fork, even while there is no TLS, and
  never again, so every worker resumes what any other began, for every name, before and after a
  renewal.
- Where clients show certificates there are no tickets (SECURITY §6). What TLS 1.2 keeps in a
  process's memory ends with a change of the authorities: those listeners get another context.

Keys pass from memory to OpenSSL through a memfd: nothing is written to a disk.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Generator, Mapping
from dataclasses import dataclass

from gwd.config.snapshot import Bind, Certificate, Snapshot, Tls
from gwd.tls.names import ByName

ALPN = ("http/1.1",)
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
"""For TLS 1.2; TLS 1.3 has no others than AEAD. Level 2 asks for 112 bits of security of every key
and signature in a chain, ours and clients', whatever the system's default is."""
KINDS = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
"""What `Bind.client_auth` says, to OpenSSL."""
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

SERVER_NAME = "gwd_server_name"
"""The attribute of a server's SSLObject with the name the client asked for (SNI), in lower case;
None if it named none. Set during the handshake. A TLS 1.2 session that is resumed has the name it
was begun with."""


class BadCertificate(ValueError):
    """OpenSSL does not take what `certificate` holds; `index` is its place among the others, -1
    for the client authorities."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(why)
        self.index = index


class ToldHandshake(ssl.SSLObject):
    """A server's side that tells its client why a handshake failed.

    The event loop sends what OpenSSL has written whenever it wants to read more, but not when it
    fails, and so the alert would stay in memory and the client see a reset. So a failure that has
    an alert is put off until the client has sent something more, its end most likely. How long that
    may take is bounded as the whole handshake is.
    """

    _outgoing: ssl.MemoryBIO
    _failed = False

    def do_handshake(self) -> None:
        """As SSLObject's. Raises SSLWantReadError, then SSLError, for one failure."""
        if self._failed:
            raise ssl.SSLError("the handshake has failed")
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if not self._outgoing.pending:
                raise
            self._failed = True
        if self._failed:
            raise ssl.SSLWantReadError


class ListenerContext(ssl.SSLContext):
    """A context for the event loop's handshakes."""

    sslobject_class = ToldHandshake

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        assert isinstance(made, ToldHandshake)
        made._outgoing = outgoing
        return made


_Made = tuple[str, bytes, bytes, bytes]
"""Kind of listener, certificate, key, client authorities."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `install` puts in place. `by_name`: per kind of listener, the certificate contexts;
    `made` has all of them by what they were made of."""

    tls: Tls | None
    by_name: Mapping[str, ByName[ssl.SSLContext]]
    made: Mapping[_Made, ssl.SSLContext]


class ListenerContexts:
    """One context per kind of listener (`Bind.client_auth`).

    Made in the supervisor by `make`; every child has it from the fork and keeps its own up to
    date: `prepare`, which can fail and changes nothing, then `install`, which cannot fail.
    """

    def __init__(self) -> None:
        self._installed = Prepared(None, {}, {})
        self._listeners = {kind: self._listener(kind) for kind in KINDS}

    @classmethod
    def make(cls, snapshot: Snapshot) -> ListenerContexts:
        """For `snapshot`, whether it has TLS or not. Raises BadCertificate."""
        contexts = cls()
        contexts.renew(snapshot)
        return contexts

    def of(self, bind: Bind) -> ssl.SSLContext | None:
        """The context for handshakes on `bind`, None where no TLS is spoken.

        With client_auth "none" it is the same object for ever; else it may be another one after
        a reload, so ask anew then.
        """
        return self._listeners[bind.client_auth] if bind.tls else None

    def prepare(self, snapshot: Snapshot) -> Generator[None, None, Prepared]:
        """Load the certificates of `snapshot`, one (about a millisecond) between two yields.

        Those in place already are not loaded again. Raises BadCertificate.
        """
        tls = snapshot.server.tls
        if tls is None or not tls.certificates:
            return Prepared(None, {}, {})
        by_name: dict[str, ByName[ssl.SSLContext]] = {}
        made: dict[_Made, ssl.SSLContext] = {}
        for kind in sorted({bind.client_auth for bind in snapshot.server.bind if bind.tls}):
            authorities = b"" if kind == "none" else tls.client_ca
            choices = []
            for index, certificate in enumerate(tls.certificates):
                key = (kind, certificate.cert, certificate.key, authorities)
                context = self._installed.made.get(key)
                if context is None:
                    context = _loaded(kind, index, certificate, authorities)
                    yield
                made[key] = context
                choices.append((certificate.names, context))
            by_name[kind] = ByName(choices)
        return Prepared(tls, by_name, made)

    def install(self, prepared: Prepared) -> None:
        """Put `prepared` in place, for every handshake that begins from now on."""
        before, self._installed = self._installed.tls, prepared
        authorities = b"" if before is None else before.client_ca
        now = prepared.tls
        if now is None:
            return
        for kind in KINDS:
            if kind != "none" and authorities != now.client_ca:
                self._listeners[kind] = self._listener(kind)
            self._listeners[kind].minimum_version = _VERSIONS[now.min_version]

    def prepare_at_once(self, snapshot: Snapshot) -> Prepared:
        """As `prepare`, without slices."""
        preparing = self.prepare(snapshot)
        while True:
            try:
                next(preparing)
            except StopIteration as end:
                prepared: Prepared = end.value
                return prepared

    def renew(self, snapshot: Snapshot) -> None:
        """Take the certificates of `snapshot`, all or, at a BadCertificate, none."""
        self.install(self.prepare_at_once(snapshot))

    def _listener(self, kind: str) -> ssl.SSLContext:
        context = _context(kind, ListenerContext)

        def choose(
            connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext
        ) -> int | None:
            setattr(connection, SERVER_NAME, None if name is None else name.lower())
            found = self._installed.by_name.get(kind)
            if found is None:  # TLS was switched off while this client came
                return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
            connection.context = found.find(name)
            return None

        context.sni_callback = choose
        return context


def _context(kind: str, made_of: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    """A context with our policy for listeners of `kind`, and no certificate."""
    context = made_of(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    # A client may prefer ChaCha20 where it has no AES in hardware: the order is left to it.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(ALPN)
    context.verify_mode = KINDS[kind]
    if kind != "none":
        # An authority is believed for itself, whether the one that signed it is named or not.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def _loaded(kind: str, index: int, certificate: Certificate, authorities: bytes) -> ssl.SSLContext:
    """A certificate context for listeners of `kind`."""
    context = _context(kind)
    with _Memory(certificate.cert) as cert, _Memory(certificate.key) as key:
        try:
            context.load_cert_chain(cert.path, key.path, password=_no_passphrase)
        except (ssl.SSLError, ValueError) as error:
            raise BadCertificate(index, _reason(error)) from None
    if authorities:
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError) as error:
            raise BadCertificate(-1, _reason(error)) from None
    return context


def _no_passphrase() -> str:
    """Else OpenSSL would ask for one on the terminal."""
    raise ValueError("the key has a passphrase")


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or str(error)
    return str(reason).replace("_", " ").lower()


def hide_odd_names() -> None:
    """Print nothing about names in ClientHellos that are not ASCII.

    Python ends such a handshake, as it should, and prints a traceback, which would let everybody
    fill the log. To be called once, in the process that does handshakes.
    """
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not UnicodeDecodeError or not isinstance(
            unraisable.object, bytes
        ):
            before(unraisable)

    sys.unraisablehook = hook


class _Memory:
    """A file that is in memory only, for as long as the block lasts."""

    def __init__(self, content: bytes) -> None:
        self._fd = os.memfd_create("gwd-pem", os.MFD_CLOEXEC)
        self.path = f"/proc/self/fd/{self._fd}"
        view = memoryview(content)
        while view:
            view = view[os.write(self._fd, view) :]

    def __enter__(self) -> _Memory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
