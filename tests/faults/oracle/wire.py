"""Bytes of a record -> an event as the reference model takes it, or the reason why it is none.

Written from proto/flowtrail/history/v1/history.proto and the protobuf encoding alone. It shares no code with flowtrail.
What it has no rule for (JSON, text above the limit) it refuses with an exception instead of guessing.
"""
import hashlib

# Payloads that are longer are kept as `Long`; tables.py compares them by length and hash.
LONG, HEAD = 4096, 64
VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32 = range(6)
INT, TEXT, DATA, TIME, FLAG, ENUM = "int", "text", "data", "time", "flag", "enum"
FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999    # 0001-01-01 and 9999-12-31, in µs
LONGEST_ID = 1024

FLOW = {1: ("flow", TEXT), 2: ("run", INT), 3: ("phase", ENUM), 4: ("status", ENUM), 5: ("word", TEXT), 6: ("user", TEXT),
        7: ("app", TEXT), 8: ("version", TEXT), 9: ("name", TEXT), 10: ("host", TEXT), 11: ("start", TIME), 12: ("end", TIME),
        13: ("parent", TEXT), 14: ("parentname", TEXT), 15: ("original", TEXT), 16: ("input", DATA), 17: ("output", DATA),
        18: ("error", DATA), 19: ("trace", TEXT)}
STEP = {1: ("flow", TEXT), 2: ("step", TEXT), 3: ("execution", INT), 4: ("phase", ENUM), 5: ("status", ENUM), 6: ("word", TEXT),
        7: ("task", TEXT), 8: ("flowname", TEXT), 9: ("subflow", TEXT), 10: ("parentstep", TEXT), 11: ("start", TIME),
        12: ("end", TIME), 13: ("rerun", FLAG), 14: ("data", DATA), 15: ("input", DATA), 16: ("output", DATA),
        17: ("error", DATA), 18: ("misc", DATA)}
REWIND = {1: ("flow", TEXT), 2: ("n", INT), 3: ("before", INT)}
DELETED = {1: ("flow", TEXT), 2: ("before", INT)}
SNAPSHOT = {1: ("flow", TEXT), 2: ("step", TEXT), 3: ("data", DATA)}
APP = {1: ("user", TEXT), 2: ("app", TEXT), 3: ("version", TEXT), 4: ("on", FLAG), 5: ("at", TIME)}
VARIABLE = {1: ("flow", TEXT), 2: ("run", INT), 3: ("scope", TEXT), 4: ("name", TEXT), 5: ("type", TEXT), 6: ("value", DATA),
            7: ("revision", INT), 8: ("removed", FLAG), 9: ("variable", TEXT), 10: ("created", TIME), 11: ("updated", TIME),
            12: ("misc", DATA)}
EVENTS = {1: ("flow", FLOW), 2: ("step", STEP), 3: ("rewind", REWIND), 4: ("deleted", DELETED), 5: ("snapshot", SNAPSHOT), 6: ("app", APP),
          7: ("variable", VARIABLE)}
SCHEMAS = dict(EVENTS.values())
TIMESTAMP = {1: ("seconds", INT), 2: ("nanos", INT)}
WIRE = {INT: VARINT, FLAG: VARINT, ENUM: VARINT, TEXT: BYTES, DATA: BYTES, TIME: BYTES}

FLOW_STATUS = {0: None, 1: "Created", 100: "Started", 500: "Completed", 600: "Cancelled", 700: "Failed"}
STEP_STATUS = {0: None, 1: "Created", 2: "Unknown", 10: "Scheduled", 20: "Started", 30: "Waiting", 40: "Completed",
               50: "Skipped", 100: "Failed", 110: "Cancelled"}
PHASES = {1: 0, 2: 1, 3: 2}     # to the model's numbers
IDS = {"flow": "flow", "step": "step", "parent": "parent", "original": "original"}


class Rejected(Exception):
    """The record is a dead letter, for this reason."""


class Payload(bytes):
    """Bytes that are sorted as the model sorts text: by themselves."""

    def encode(self):
        return self


class Long:
    """A payload that is too long to keep a topic full of: told from others by its length, its beginning and its hash.

    Which of two is greater shows in the beginning; where it does not, there is no answer but an exception.
    """
    __slots__ = ("size", "head", "digest")

    def __init__(self, payload):
        self.size, self.head, self.digest = len(payload), payload[:HEAD], hashlib.sha256(payload).digest()

    def __len__(self):
        return self.size

    def encode(self):
        return self

    def __eq__(self, other):
        return isinstance(other, Long) and (self.size, self.digest) == (other.size, other.digest)

    def __hash__(self):
        return hash(self.digest)

    def __lt__(self, other):
        mine, others = self.head, other.head if isinstance(other, Long) else other
        if mine.startswith(others[:len(mine)]) or others.startswith(mine):
            if self == other:
                return False
            raise NotImplementedError("long payloads that begin alike")
        return mine < others

    def __gt__(self, other):
        return not self == other and not self < other


def varint(buffer, at, end):
    value = shift = 0
    while at < end:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value & 0xffff_ffff_ffff_ffff, at
        shift += 7
        if shift >= 70:
            break
    raise Rejected("undecodable")


def signed(value, bits=64):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def skip(buffer, at, end, wire, number):
    if wire == VARINT:
        return varint(buffer, at, end)[1]
    if wire == FIXED64 or wire == FIXED32:
        at += 8 if wire == FIXED64 else 4
    elif wire == BYTES:
        size, at = varint(buffer, at, end)
        at += size
    elif wire == GROUP:
        while True:
            tag, at = varint(buffer, at, end)
            if tag & 7 == GROUP_END:
                if tag >> 3 != number:
                    raise Rejected("undecodable")
                break
            at = skip(buffer, at, end, tag & 7, tag >> 3)
    else:
        raise Rejected("undecodable")
    if at > end:
        raise Rejected("undecodable")
    return at


def message(buffer, at, end, schema, into):
    """Reads known fields into a dict; of a field that comes twice the later counts."""
    while at < end:
        tag = buffer[at]
        if tag < 0x80:
            at += 1
        else:
            tag, at = varint(buffer, at, end)
        wire, number = tag & 7, tag >> 3
        if number == 0:
            raise Rejected("undecodable")
        known = schema.get(number)
        if known is None:
            at = skip(buffer, at, end, wire, number)
            continue
        name, kind = known
        if WIRE[kind] != wire:
            raise Rejected("undecodable")
        if wire == VARINT:
            into[name], at = varint(buffer, at, end)
            continue
        size, at = varint(buffer, at, end)
        stop = at + size
        if stop > end:
            raise Rejected("undecodable")
        if kind is TIME:
            into[name] = message(buffer, at, stop, TIMESTAMP, into.get(name) or {})
        else:
            into[name] = buffer[at:stop]
        at = stop
    return into


def envelope(buffer, at):
    """The kind of event and its fields; the last one counts, as of any oneof."""
    kind, fields, end = None, None, len(buffer)
    while at < end:
        tag, at = varint(buffer, at, end)
        wire, number = tag & 7, tag >> 3
        if number == 0:
            raise Rejected("undecodable")
        if number not in EVENTS:
            at = skip(buffer, at, end, wire, number)
            continue
        if wire != BYTES:
            raise Rejected("undecodable")
        size, at = varint(buffer, at, end)
        if at + size > end:
            raise Rejected("undecodable")
        name, schema = EVENTS[number]
        fields = message(buffer, at, at + size, schema, fields if name == kind else {})
        kind, at = name, at + size
    if kind is None:
        raise Rejected("unknown_event")
    return kind, fields


def begin(value):
    """Where the message begins behind Confluent's framing, if it is framed."""
    if value[0] == 0x7b:
        raise NotImplementedError("JSON is not in this traffic")
    if value[0] != 0:
        return 0
    if len(value) < 6:
        raise Rejected("undecodable")
    count, at = varint(value, 5, len(value))
    if count == 2:      # zigzag: one number follows
        count, at = varint(value, at, len(value))
    if count != 0:
        raise Rejected("undecodable")
    return at


def micros(time):
    if time is None:
        return None
    seconds, nanos = signed(time.get("seconds", 0)), signed(time.get("nanos", 0), 32)
    if not 0 <= nanos < 1_000_000_000:
        return None
    whole, rest = divmod(nanos, 1000)
    if rest > 500 or (rest == 500 and whole % 2):
        whole += 1
    value = seconds * 1_000_000 + whole
    return value if FIRST <= value <= LAST else None


def decode(key, value, limit):
    """(event, whether a field of it was cut); a `snapshot` is an event that the model does not know."""
    if not value:
        raise Rejected("empty")
    kind, fields = envelope(value, begin(value))
    event, cut = {"kind": kind}, False
    for name, as_kind in SCHEMAS[kind].values():
        field = fields.get(name)
        if field is None:
            continue
        if as_kind is TEXT:
            try:
                field = field.decode()
            except UnicodeDecodeError:
                raise Rejected("undecodable") from None
            if "\0" in field:
                field = field.replace("\0", "\ufffd")
            if name not in IDS and len(field) > limit:
                raise NotImplementedError("text above the limit is not in this traffic")
            event[name] = field or None
        elif as_kind is DATA:
            if len(field) > limit:
                cut = True
                field = field[:limit] + ("\u2026[cut by flowtrail, %d bytes in all]" % len(field)).encode()
            event[name] = None if not field else Long(field) if len(field) > LONG else Payload(field)
        elif as_kind is TIME:
            event[name] = micros(field)
        elif as_kind is FLAG:
            event[name] = field != 0
        else:
            event[name] = signed(field, 32 if as_kind is ENUM else 64)
    name_it(kind, event, key)
    finish(kind, event)
    return event, cut


def name_it(kind, event, key):
    """The ids: the payload's, or the key where it has none; never longer than an id may be."""
    if kind == "app":
        if not event.get("app"):
            raise Rejected("no_id")
    elif not event.get("flow"):
        try:
            event["flow"] = (key or b"").decode().replace("\0", "\ufffd") or None
        except UnicodeDecodeError:
            pass
        if not event.get("flow"):
            raise Rejected("no_id")
    if kind in ("step", "variable") and not event.get("step" if kind == "step" else "name"):
        raise Rejected("no_id")
    if kind == "variable" and sum(len((event.get(name) or "").encode()) for name in ("scope", "name")) > LONGEST_ID:
        raise Rejected("id_too_long")
    for name in ("user", "app") if kind == "app" else IDS:
        if len((event.get(name) or "").encode()) > LONGEST_ID:
            raise Rejected("id_too_long")


def finish(kind, event):
    if kind in ("flow", "step"):
        names = FLOW_STATUS if kind == "flow" else STEP_STATUS
        number = event.pop("status", 0)
        event["status"] = event.pop("word", None) or names.get(number, str(number))
        phase = event.get("phase", 0)
        event["phase"] = None if phase == 0 else PHASES.get(phase, 1)
        event.setdefault("run" if kind == "flow" else "execution", 0)
    elif kind == "rewind":
        event.setdefault("before", 0)
    elif kind == "snapshot":
        event["data"] = event.get("data") or b""
    elif kind == "variable":
        for name, value in (("run", 0), ("scope", ""), ("revision", 0), ("removed", False)):
            event[name] = event.get(name) or value
    elif kind == "app":
        event.setdefault("on", False)
