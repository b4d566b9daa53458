"""Secure aggregation (Bonawitz et al. 2017): the server learns the sum of the updates, and no single one.

For a server that keeps to the protocol and looks at all it gets. Each pair of devices agrees on a mask that one adds
and the other subtracts, so that masks cancel in the sum; each adds one more of its own. Both are kept from the server
by shares among the devices: of a device that dies, `threshold` others give shares of its pairwise key; of one that
answered, shares of its own mask; never of both, so an answer that comes late stays hidden.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from blocks.errors import Refused
from tasks.federation.decide.models import Vector

Ring = NDArray[np.uint32]  # whole numbers modulo 2^32

PRIME = 2**521 - 1
SHARE_BYTES = 66
LARGEST = 8.0  # of a number in an update; beyond it is cut


@dataclass(frozen=True)
class Public:
    """What a device makes known: its number (1 or more) and the public keys of its shares and of its masks."""

    number: int
    sealing: bytes
    masking: bytes


@dataclass(frozen=True)
class Member:
    """A device in one round. secret: 32 bytes of its own. about: names the round, so that no key is used twice."""

    number: int
    secret: bytes
    about: bytes

    def public(self) -> Public:
        """Its public keys."""
        return Public(self.number, _public(self._key(b"sealing")), _public(self._key(b"masking")))

    def hand_out(self, roster: Sequence[Public], threshold: int) -> dict[int, bytes]:
        """For each device of the roster, sealed for it alone, a share of the masking key and one of the own mask."""
        keys = [self._shared(self._key(use), use + b" shares", roster, threshold) for use in (b"masking", b"own mask")]
        return {each.number: _seal(self._key(b"sealing"), each.sealing, self.number, each.number,
                                   b"".join(shares[each.number].to_bytes(SHARE_BYTES) for shares in keys))
                for each in roster}  # fmt: skip

    def mask(self, values: Ring, roster: Sequence[Public]) -> Ring:
        """Values plus its own mask and those that it has with each other device."""
        masked = values + _stream(self._key(b"own mask"), len(values))
        for each in roster:
            if each.number != self.number:
                masked += _pair(self._key(b"masking"), self.number, each, len(values))
        return np.asarray(masked, np.uint32)

    def reveal(
        self, sealed: Mapping[int, bytes], roster: Sequence[Public], answered: Collection[int], threshold: int
    ) -> dict[int, int]:
        """Of each device one share: of its own mask if it answered, else of its masking key.

        Raises
        ------
        Refused: fewer than `threshold` answered, so a sum would say too much of one; or a share was tampered with.
        """
        if len(set(answered)) < threshold:
            raise Refused(f"{len(set(answered))} devices answered", where=f"device {self.number}",
                          fix=f"sum {threshold} at least")  # fmt: skip
        found = {}
        for each in roster:
            both = _unseal(self._key(b"sealing"), each.sealing, each.number, self.number, sealed[each.number])
            part = both[SHARE_BYTES:] if each.number in answered else both[:SHARE_BYTES]
            found[each.number] = int.from_bytes(part)
        return found

    def _key(self, use: bytes) -> bytes:
        return HKDF(SHA256(), 32, salt=self.about, info=use).derive(self.secret)

    def _shared(self, key: bytes, use: bytes, roster: Sequence[Public], threshold: int) -> dict[int, int]:
        """Shamir's shares: the values at 1, 2, ... of a polynomial that is the key at 0."""
        drawn = hashlib.shake_256(self._key(use)).digest((SHARE_BYTES + 16) * (threshold - 1))
        pieces = [drawn[at : at + SHARE_BYTES + 16] for at in range(0, len(drawn), SHARE_BYTES + 16)]
        weights = [int.from_bytes(key), *(int.from_bytes(piece) % PRIME for piece in pieces)]
        return {each.number: sum(weight * each.number**power for power, weight in enumerate(weights)) % PRIME
                for each in roster}  # fmt: skip


def unmask(
    masked: Mapping[int, Ring], roster: Sequence[Public], revealed: Mapping[int, Mapping[int, int]], threshold: int
) -> Ring:  # fmt: skip
    """The sum of the values behind `masked` (by device), from the shares that devices revealed (by device, of device).

    Raises
    ------
    Refused: fewer shares than `threshold`, or they do not give the key that the device made known.
    """
    if len(revealed) < threshold:
        raise Refused(f"{len(revealed)} devices gave shares", where="secure aggregation", fix=f"wait for {threshold}")
    size = len(next(iter(masked.values())))
    total = np.zeros(size, np.uint32)
    for values in masked.values():
        total += values
    known = {each.number: each for each in roster}
    for each in roster:
        shares = {by: given[each.number] for by, given in list(revealed.items())[:threshold]}
        key = _at_zero(shares)
        if each.number in masked:
            total -= _stream(key, size)
            continue
        if _public(key) != each.masking:
            raise Refused("the shares do not give its key", where=f"device {each.number}", fix="leave out the round")
        for other in masked:  # what the others added for the one that died
            total += _pair(key, each.number, known[other], size)
    return total


def to_ring(delta: Vector, devices: int) -> Ring:
    """Fixed point such that a sum over so many devices does not overflow; off by half a step at most. NaN counts as 0.

    >>> from_ring(to_ring(np.array([0.5, -0.25], np.float32), 4) * np.uint32(4), 4).tolist()
    [2.0, -1.0]
    """
    kept = np.clip(np.nan_to_num(delta.astype(np.float64)), -LARGEST, LARGEST)
    return np.rint(kept * _steps(devices)).astype(np.int64).astype(np.uint32)


def from_ring(total: Ring, devices: int) -> Vector:
    """The sum as float32."""
    return (total.view(np.int32) / _steps(devices)).astype(np.float32)


def decide_threshold(devices: int) -> int:
    """Shares that give a key back: more than half, so that a server cannot tell two halves two stories."""
    return devices // 2 + 1


def _steps(devices: int) -> float:
    return float(2 ** int(np.log2((2**31 - 1) / (LARGEST * devices))))


def _public(key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw()


def _agreed(key: bytes, public: bytes, use: bytes) -> bytes:
    agreed = X25519PrivateKey.from_private_bytes(key).exchange(X25519PublicKey.from_public_bytes(public))
    return HKDF(SHA256(), 32, salt=None, info=use).derive(agreed)


def _pair(key: bytes, number: int, other: Public, size: int) -> Ring:
    """The mask of a pair, added by the lower number and subtracted by the higher."""
    stream = _stream(_agreed(key, other.masking, b"pair"), size)
    return stream if number < other.number else np.asarray(-stream, np.uint32)


def _stream(key: bytes, size: int) -> Ring:
    made = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(4 * size))
    return np.frombuffer(made, "<u4").astype(np.uint32)


def _seal(key: bytes, public: bytes, sender: int, receiver: int, text: bytes) -> bytes:
    # the pair has one key for both ways: the sender's number keeps the two nonces apart
    about = f"{sender}>{receiver}".encode()
    return ChaCha20Poly1305(_agreed(key, public, b"seal")).encrypt(sender.to_bytes(12), text, about)


def _unseal(key: bytes, public: bytes, sender: int, receiver: int, sealed: bytes) -> bytes:
    about = f"{sender}>{receiver}".encode()
    try:
        return ChaCha20Poly1305(_agreed(key, public, b"seal")).decrypt(sender.to_bytes(12), sealed, about)
    except InvalidTag as error:
        raise Refused(
            "its share was changed on the way", where=f"device {sender}", fix="leave out the round"
        ) from error


def _at_zero(shares: Mapping[int, int]) -> bytes:
    """Lagrange's interpolation at 0, modulo `PRIME`."""
    total = 0
    for at, value in shares.items():
        weight = value
        for other in shares:
            if other != at:
                weight = weight * other * pow(other - at, -1, PRIME) % PRIME
        total += weight
    found = total % PRIME
    return found.to_bytes(SHARE_BYTES)[-32:]
