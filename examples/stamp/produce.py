"""python produce.py BROKERS TOPIC ORDER...: sends the orders; one that is named twice is a retry."""
import json
import sys

from kafka import KafkaProducer  # pip install kafka-python

from stamp import HEADER, message_id

brokers, topic, *orders = sys.argv[1:]
producer = KafkaProducer(bootstrap_servers=brokers.split(","))
for i, order in enumerate(orders):
    # The attempt makes every payload another one; the id is the order's alone.
    value = json.dumps({"order": {"id": order}, "attempt": f"python-{i}"})
    headers = [(HEADER, message_id("json:order.id", order.encode()).encode())]
    producer.send(topic, key=order.encode(), value=value.encode(), headers=headers).get(timeout=60)
producer.close()
