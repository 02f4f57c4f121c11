"""A flash bank for the emulator, as a plugin of nbdkit: asks its owner before every program and every erase.

Parameters: image=FILE is the content, control=SOCKET is where the owner listens.

The emulator writes the aligned write buffer after each program and the whole block after each erase. What a write
changes is told to the owner (kind, offset, octets from the first to the last that changes); the owner answers how much
of it happens. A write that changes nothing is no operation of the flash and is not told.

The emulator waits for the answer with the whole machine standing still. So a withheld answer stops time for the
appliance at exactly this write.
"""

import io
import mmap
import random
import socket
import struct

API_VERSION = 2

UNIT = 32
BLOCK = 256 * 1024
ERASED = b"\xff" * BLOCK
OFF_NOW, PROGRAM, ERASE, BREACH = range(4)
GO, BEFORE, HALF, AFTER, OFF = b"gbhax"

parameters = {}
bank = None
owner = None


def config(key, value):
    parameters[key] = value


def get_ready():
    global bank
    with io.open(parameters["image"], "r+b") as image:
        bank = mmap.mmap(image.fileno(), 0)


def after_fork():
    global owner
    owner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    owner.connect(parameters["control"])


# This name is the interface's; it hides the built-in function.
def open(readonly):
    return 1


def get_size(handle):
    return len(bank)


def flush(handle, flags):
    pass


def pread(handle, buffer, offset, flags):
    buffer[:] = bank[offset:offset + len(buffer)]


def answer():
    told = owner.recv(9, socket.MSG_WAITALL)
    if len(told) != 9:
        raise OSError("the owner has gone")
    return told[0], struct.unpack("<Q", told[1:])[0]


def pwrite(handle, buffer, offset, flags):
    end = offset + len(buffer)
    old, new = bank[offset:end], bytes(buffer)
    if old == new:
        return
    difference = int.from_bytes(old, "little") ^ int.from_bytes(new, "little")
    first = ((difference & -difference).bit_length() - 1) // 8
    last = (difference.bit_length() - 1) // 8
    kind = ERASE if len(new) == BLOCK and new == ERASED else PROGRAM
    if kind == PROGRAM and int.from_bytes(old, "little") & difference != difference:
        kind = BREACH
    owner.sendall(struct.pack("<BII", kind, offset + first, last - first + 1))
    how, seed = answer()
    if how == GO:
        bank[offset:end] = new
        return
    if how == AFTER:
        bank[offset:end] = new
    elif how == HALF:
        bank[offset:end] = (half_erased if kind == ERASE else torn)(old, new, random.Random(seed))
    if how != OFF:
        # The power is off: what happened stays, and no answer ever reaches the machine.
        owner.sendall(struct.pack("<BII", OFF_NOW, 0, 0))
        answer()
    raise OSError("the power is off")


def torn(old, new, chance):
    """Some of the bits that were to be cleared are cleared."""
    wanted = int.from_bytes(old, "little") ^ int.from_bytes(new, "little")
    shape = chance.randrange(4)
    if shape == 0:
        # Up to a place, all; behind it, nothing: the chip was working its way through the buffer.
        first = (wanted & -wanted).bit_length() - 1
        cleared = wanted & ((1 << chance.randint(first, wanted.bit_length())) - 1)
    elif shape == 1:
        # All but one, which is as near to done as it gets.
        cleared = wanted & ~(1 << chance.choice([(wanted & -wanted).bit_length() - 1, wanted.bit_length() - 1]))
    else:
        cleared = wanted & chance.getrandbits(8 * len(old))
        if shape == 3:
            cleared &= chance.getrandbits(8 * len(old))
    return (int.from_bytes(old, "little") ^ cleared).to_bytes(len(old), "little")


def half_erased(old, new, chance):
    """Each unit is as it was, erased, or has some of its bits set."""
    mixture = bytearray()
    for at in range(0, len(old), UNIT):
        before, after = old[at:at + UNIT], new[at:at + UNIT]
        shape = chance.randrange(3)
        if shape == 0:
            mixture += before
        elif shape == 1:
            mixture += after
        else:
            some = chance.getrandbits(8 * len(before))
            mixture += (int.from_bytes(before, "little") | some).to_bytes(len(before), "little")
    return bytes(mixture)
