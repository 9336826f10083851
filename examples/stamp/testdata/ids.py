"""As Ids.java."""
import sys

from stamp import message_id

for line in sys.stdin:
    fields, *parts = line.rstrip("\n").split("\t")
    print(message_id(fields, *(None if p == "null" else bytes.fromhex(p[1:]) for p in parts)))
