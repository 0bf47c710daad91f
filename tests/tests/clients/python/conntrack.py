"""Counts, lists and flushes connections with pyroute2."""

from pyroute2 import NFCTSocket

with NFCTSocket() as ct:
    print("count", ct.count()[0].get_attr("CTA_STATS_GLOBAL_ENTRIES"))
    for entry in ct.dump():
        addresses = entry.get_attr("CTA_TUPLE_ORIG").get_attr("CTA_TUPLE_IP")
        source, destination = addresses.get_attr("CTA_IP_V4_SRC"), addresses.get_attr("CTA_IP_V4_DST")
        print(source, destination, entry.get_attr("CTA_ZONE"))
    ct.flush()
    print("left", len(list(ct.dump())))
