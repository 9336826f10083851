"""The header noecho-id, as docs/stamping.md defines it. Standard library only."""
import hashlib
import struct

HEADER = "noecho-id"


def message_id(fields, *parts):
    """The id of a message: fields says what its parts are, parts are bytes, or None for null."""
    sha = hashlib.sha256()
    for field in (b"noecho-id/1", fields.encode(), *parts):
        sha.update(struct.pack(">i", -1 if field is None else len(field)))
        sha.update(field or b"")
    return sha.hexdigest()[:32]
